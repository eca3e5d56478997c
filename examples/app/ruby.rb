# Sends a login code through Heardback and reports that it was entered. Try it: ruby ruby.rb +15558675310
require 'net/http'
require 'time'
require 'twilio-ruby'

BASE, KEY, FROM = %w[HEARDBACK_PUBLIC_URL HEARDBACK_APP_KEYS TWILIO_FROM].map { |name| ENV.fetch(name) }
client = Twilio::REST::Client.new(ENV.fetch('TWILIO_ACCOUNT_SID'), ENV.fetch('TWILIO_AUTH_TOKEN'))
client.api.instance_variable_set(:@base_url, BASE) # Heardback in place of https://api.twilio.com
sid = client.messages.create(to: ARGV[0], from: FROM, body: 'Your code is 493017.').sid
puts sid # store it with the login
$stdout.flush

# A job for your queue. It raises after a timeout and after any status but a 2xx, so that the queue runs it again.
def report(sid, entered_at)
  url = URI("#{BASE}/app/events") # the public URL, because it is signed
  form = { 'MessageSid' => sid, 'Type' => 'code_entered', 'OccurredAt' => entered_at }
  headers = { 'X-Twilio-Signature' => Twilio::Security::RequestValidator.new(KEY).build_signature_for(url.to_s, form) }
  Timeout.timeout(2) { Net::HTTP.post(url, URI.encode_www_form(form), headers) }.value # raises without a 2xx
end

# When the code was entered. Without a queue: in a thread, for an hour.
entered_at = Time.now.utc.iso8601(3)
(0..9).each do |n|
  break report(sid, entered_at)
rescue StandardError => e
  warn "#{e.class} #{e.message}"
  break if e.respond_to?(:response) && %w[400 409 413 414 415].include?(e.response.code) # refused for good

  sleep 5 * 2**n
end
