# A login code, sent with Twilio's Ruby library and told to Heardback. Try it: ruby ruby.rb +15558675310
require 'net/http'
require 'time'
require 'twilio-ruby'

FROM = ENV.fetch('TWILIO_FROM')
VALIDATOR = Twilio::Security::RequestValidator.new(ENV.fetch('HEARDBACK_APP_KEY'))
CLIENT = Twilio::REST::Client.new(ENV.fetch('TWILIO_ACCOUNT_SID'), ENV.fetch('TWILIO_AUTH_TOKEN'))
CLIENT.api.instance_variable_set(:@base_url, ENV['TWILIO_API_URL']) if ENV['TWILIO_API_URL'] # the demo's stand-in

# Make this a job of your queue: it raises where it is to be run again, after a 503 or a timeout.
def tell(path, fields)
  url = URI(ENV.fetch('HEARDBACK_URL') + path) # the public URL, for it is signed
  request = Net::HTTP::Post.new(url, 'X-Twilio-Signature' => VALIDATOR.build_signature_for(url.to_s, fields))
  request.set_form_data(fields)
  limits = { open_timeout: 2, read_timeout: 2, write_timeout: 2, use_ssl: url.scheme == 'https' }
  answer = Net::HTTP.start(url.host, url.port, **limits) { |http| http.request(request) }
  answer.value if answer.is_a?(Net::HTTPServerError)
  warn "#{path} #{answer.code} #{answer.body}" unless answer.is_a?(Net::HTTPSuccess) # the same again would not help
end

# Without a queue: nobody waits for it, and it tries again for an hour.
def tell_later(path, fields, wait = 5)
  Thread.new do
    tell(path, fields)
  rescue StandardError => e # whatever it is: no such host, no TLS, half an answer
    warn "#{path}: #{e.class}, again in #{wait} s"
    sleep wait
    (wait *= 2) < 3600 && retry
  end
end

sent = CLIENT.messages.create(to: ARGV[0], from: FROM, body: 'Your code is 493017.', provide_feedback: true)
now = Time.now.utc.iso8601(3)
jobs = [tell_later('/app/messages', { 'MessageSid' => sent.sid, 'To' => ARGV[0], 'From' => FROM, 'CreatedAt' => now })]
# Once the code was entered, in truth; keep the SID with the login.
jobs << tell_later('/app/events', { 'MessageSid' => sent.sid, 'Type' => 'code_entered', 'OccurredAt' => now })
puts sent.sid; $stdout.flush
jobs.each(&:join) # a script must not end before its threads
