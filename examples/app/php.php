<?php
// A login code, sent with Twilio's PHP library and told to Heardback. Try it: php php.php +15558675310; php php.php work
require __DIR__ . '/vendor/autoload.php';

// Puts a job into a folder, and nobody waits for it. With a queue (Laravel's, Symfony's), make `tell` a job of it.
function tellLater(string $path, array $fields): void {
    $job = getenv('HEARDBACK_SPOOL') . '/' . uniqid('heardback-', true);
    file_put_contents("$job.new", json_encode([$path, $fields]));
    rename("$job.new", "$job.job");
}

// It throws where it is to be run again, after a 503 or a timeout.
function tell(string $path, array $fields): void {
    $url = getenv('HEARDBACK_URL') . $path; // the public URL, for it is signed
    $signature = (new Twilio\Security\RequestValidator(getenv('HEARDBACK_APP_KEY')))->computeSignature($url, $fields);
    $curl = curl_init($url);
    curl_setopt_array($curl, [CURLOPT_POSTFIELDS => http_build_query($fields), CURLOPT_TIMEOUT => 2,
        CURLOPT_HTTPHEADER => ["X-Twilio-Signature: $signature"], CURLOPT_RETURNTRANSFER => true]);
    [$body, $status] = [curl_exec($curl), curl_getinfo($curl, CURLINFO_RESPONSE_CODE)];
    if ($body === false || $status >= 500) throw new RuntimeException("$path: " . ($status ?: curl_error($curl)));
    if ($status >= 300) error_log("$path: $status $body"); // the same again would not help
}

if ($argv[1] === 'work') { // every minute, by cron
    foreach (glob(getenv('HEARDBACK_SPOOL') . '/heardback-*.job') as $job) {
        try { tell(...json_decode(file_get_contents($job), true)); unlink($job); }
        catch (RuntimeException $again) { error_log($again->getMessage()); }
    }
    exit;
}
[$to, $from] = [$argv[1], getenv('TWILIO_FROM')];
$client = new Twilio\Rest\Client(getenv('TWILIO_ACCOUNT_SID'), getenv('TWILIO_AUTH_TOKEN'));
if ($standIn = getenv('TWILIO_API_URL')) (fn () => $this->baseUrl = $standIn)->call($client->api); // the demo's
$sid = $client->messages->create($to, ['from' => $from, 'body' => 'Your code is 493017.', 'provideFeedback' => true])->sid;
$now = (new DateTime())->format(DATE_RFC3339_EXTENDED);
tellLater('/app/messages', ['MessageSid' => $sid, 'To' => $to, 'From' => $from, 'CreatedAt' => $now]);
// Once the code was entered, in truth; keep the SID with the login.
tellLater('/app/events', ['MessageSid' => $sid, 'Type' => 'code_entered', 'OccurredAt' => $now]);
echo $sid, "\n";
