# A stand-in for the part of the gem twilio-ruby that examples/app/ruby.rb uses, for machines without the gem. Names and
# arguments follow its documentation. It is no copy, and proves nothing about the gem's own code.
require 'base64'
require 'json'
require 'net/http'
require 'openssl'

module Twilio
  module Security
    class RequestValidator
      def initialize(key)
        @key = key
      end

      def build_signature_for(url, params)
        text = url + params.sort.join
        Base64.strict_encode64(OpenSSL::HMAC.digest('sha1', @key, text))
      end
    end
  end

  module REST
    Message = Struct.new(:sid)

    class Api
      def initialize
        @base_url = 'https://api.twilio.com'
      end

      def url(path)
        URI("#{@base_url}/2010-04-01#{path}")
      end
    end

    class Client
      attr_reader :api

      def initialize(account, token)
        @account, @token, @api = account, token, Api.new
      end

      def messages
        self
      end

      def create(to:, from:, body:)
        url = api.url("/Accounts/#{@account}/Messages.json")
        request = Net::HTTP::Post.new(url)
        request.basic_auth(@account, @token)
        request.set_form_data('To' => to, 'From' => from, 'Body' => body)
        answer = Net::HTTP.start(url.host, url.port) { |http| http.request(request) }
        answer.value
        Message.new(JSON.parse(answer.body).fetch('sid'))
      end
    end
  end
end
