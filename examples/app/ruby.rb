# Sends a login code with Twilio's Ruby library and reports it to Heardback. Try it: ruby ruby.rb +15558675310
require 'net/http'
require 'time'
require 'twilio-ruby'
BASE, KEY, FROM = %w[HEARDBACK_PUBLIC_URL HEARDBACK_APP_KEYS TWILIO_FROM].map { |name| ENV.fetch(name).split(',').first }
CLIENT = Twilio::REST::Client.new(ENV.fetch('TWILIO_ACCOUNT_SID'), ENV.fetch('TWILIO_AUTH_TOKEN'))
STAND_IN = ENV.fetch('HEARDBACK_UPSTREAM_URL', nil) # the demo's
CLIENT.api.instance_variable_set(:@base_url, STAND_IN) if STAND_IN

# Make this a job of your queue: it raises after a timeout, a 503 or a 403, so that the queue runs it again.
def report(path, fields)
  url = URI(BASE + path) # the public URL, because it is signed
  signature = Twilio::Security::RequestValidator.new(KEY).build_signature_for(url.to_s, fields)
  request = Net::HTTP::Post.new(url, 'X-Twilio-Signature' => signature)
  request.set_form_data(fields)
  limits = { open_timeout: 2, read_timeout: 2, write_timeout: 2, use_ssl: url.scheme == 'https' }
  answer = Net::HTTP.start(url.host, url.port, **limits) { |http| http.request(request) }
  return answer.value unless %w[400 409 413 415].include?(answer.code) # raises for all but a 2xx
  warn "#{path} #{answer.code} #{answer.body}" # the same request would be refused again
end

# Without a queue: runs in the background, and retries for an hour.
def report_later(path, fields, wait = 5)
  Thread.new do
    report(path, fields)
  rescue StandardError => e # any error: unknown host, no TLS, an incomplete answer
    warn "#{path}: #{e.class} #{e.message}, again in #{wait} s"
    sleep wait
    (wait *= 2) < 3600 && retry
  end
end

sid = CLIENT.messages.create(to: ARGV[0], from: FROM, body: 'Your code is 493017.', provide_feedback: true).sid
now = Time.now.utc.iso8601(3)
jobs = [report_later('/app/messages', { 'MessageSid' => sid, 'To' => ARGV[0], 'From' => FROM, 'CreatedAt' => now })]
# In your app: when the code was entered. Store the SID with the login.
jobs << report_later('/app/events', { 'MessageSid' => sid, 'Type' => 'code_entered', 'OccurredAt' => now })
puts sid; $stdout.flush
jobs.each(&:join) # a script must not end before its threads
