<?php
// Sends a login code through Heardback and reports that it was entered. Try it: php php.php +15558675310
require __DIR__ . '/vendor/autoload.php';
define('BASE', getenv('HEARDBACK_PUBLIC_URL')) && define('KEY', getenv('HEARDBACK_APP_KEYS'));
$client = new Twilio\Rest\Client(getenv('TWILIO_ACCOUNT_SID'), getenv('TWILIO_AUTH_TOKEN'));
(fn () => $this->baseUrl = BASE)->call($client->api); // Heardback in place of https://api.twilio.com
$sid = $client->messages->create($argv[1], ['from' => getenv('TWILIO_FROM'), 'body' => 'Your code is 493017.'])->sid;
echo $sid, "\n"; // store it with the login

// A job for your queue. It throws after a timeout and after any status but a 2xx, so that the queue runs it again.
function report(string $sid, string $enteredAt): void {
    [$url, $form] = [BASE . '/app/events', ['MessageSid' => $sid, 'Type' => 'code_entered', 'OccurredAt' => $enteredAt]];
    $signature = (new Twilio\Security\RequestValidator(KEY))->computeSignature($url, $form);
    $header = "Content-Type: application/x-www-form-urlencoded\r\nX-Twilio-Signature: $signature";
    $http = ['method' => 'POST', 'header' => $header, 'content' => http_build_query($form), 'timeout' => 2];
    @file_get_contents($url, context: stream_context_create(['http' => $http])) ?: throw new Exception(error_get_last()['message']);
}

// When the code was entered. Without a queue: by a script of its own, for an hour.
$enteredAt = (new DateTime())->format(DATE_RFC3339_EXTENDED);
for ($wait = 5; $wait < 3600; $wait *= 2) {
    try {
        report($sid, $enteredAt);
        break;
    } catch (Exception $error) {
        error_log($error->getMessage());
        if (preg_match('/ 4(00|09|13|15) /', $error->getMessage())) break; // refused for good
    }
    sleep($wait);
}
