<?php
// A stand-in for the part of the package twilio/sdk that examples/app/php.php uses, for machines without the package. Names
// and arguments follow its documentation. It is no copy, and proves nothing about the package's own code.

namespace Twilio\Security {
    class RequestValidator
    {
        public function __construct(private string $key)
        {
        }

        public function computeSignature(string $url, array $data = []): string
        {
            ksort($data);
            foreach ($data as $name => $value) {
                $url .= $name . $value;
            }
            return base64_encode(hash_hmac('sha1', $url, $this->key, true));
        }
    }
}

namespace Twilio\Rest {
    class Api
    {
        protected string $baseUrl = 'https://api.twilio.com';

        public function url(string $path): string
        {
            return "{$this->baseUrl}/2010-04-01$path";
        }
    }

    class Client
    {
        public Api $api;
        public Client $messages;

        public function __construct(private string $account, private string $token)
        {
            $this->api = new Api();
            $this->messages = $this;
        }

        public function create(string $to, array $options): object
        {
            $curl = curl_init($this->api->url("/Accounts/{$this->account}/Messages.json"));
            curl_setopt_array($curl, [
                CURLOPT_POSTFIELDS => http_build_query([
                    'To' => $to,
                    'From' => $options['from'],
                    'Body' => $options['body'],
                ]),
                CURLOPT_USERPWD => "{$this->account}:{$this->token}",
                CURLOPT_RETURNTRANSFER => true,
            ]);
            $body = curl_exec($curl);
            if (curl_getinfo($curl, CURLINFO_RESPONSE_CODE) !== 201) {
                throw new \RuntimeException('not created');
            }
            return json_decode($body);
        }
    }
}
