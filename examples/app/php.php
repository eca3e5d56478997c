<?php
// Sends a login code with Twilio's PHP library and reports it. Try it: php php.php +15558675310; php php.php work
require __DIR__ . '/vendor/autoload.php';
define('SPOOL', getenv('HEARDBACK_SPOOL') ?: throw new RuntimeException('HEARDBACK_SPOOL must name a folder'));
$first = fn (string $name) => explode(',', getenv($name))[0]; // these settings may be lists
define('BASE', $first('HEARDBACK_PUBLIC_URL')) && define('KEY', $first('HEARDBACK_APP_KEYS'));

// Writes a job to a folder and returns at once. With a queue (Laravel's, Symfony's), make `report` a job of it.
function reportLater(string $path, array $fields): void {
    [$job, $text] = [SPOOL . '/' . uniqid('heardback-', true), json_encode([$path, $fields])];
    $is_whole = file_put_contents("$job.new", $text) === strlen($text);
    $is_whole ? rename("$job.new", "$job.job") : error_log("$path: the job could not be written");
}

// It throws after a timeout, a 503 or a 403, so that the job runs again.
function report(string $path, array $fields): void {
    $url = BASE . $path; // the public URL, because it is signed
    $signature = (new Twilio\Security\RequestValidator(KEY))->computeSignature($url, $fields);
    $curl = curl_init($url);
    curl_setopt_array($curl, [CURLOPT_POSTFIELDS => http_build_query($fields), CURLOPT_TIMEOUT => 2,
        CURLOPT_HTTPHEADER => ["X-Twilio-Signature: $signature"], CURLOPT_RETURNTRANSFER => true]);
    [$body, $status] = [curl_exec($curl), curl_getinfo($curl, CURLINFO_RESPONSE_CODE)];
    if (in_array($status, [400, 409, 413, 415])) error_log("$path: $status $body"); // it would be refused again
    elseif ($body === false || $status >= 300) throw new RuntimeException("$path: " . ($status ?: curl_error($curl)));
}

if ($argv[1] === 'work') { // every minute, by cron
    foreach (glob(SPOOL . '/heardback-*.job') as $job)
        try { report(...json_decode(file_get_contents($job), true)); unlink($job); }
        catch (Throwable $error) { error_log("$job: {$error->getMessage()}"); } // the job stays, and the next one runs
    exit;
}
[$to, $from, $now] = [$argv[1], getenv('TWILIO_FROM'), (new DateTime())->format(DATE_RFC3339_EXTENDED)];
$client = new Twilio\Rest\Client(getenv('TWILIO_ACCOUNT_SID'), getenv('TWILIO_AUTH_TOKEN'));
if ($standIn = getenv('HEARDBACK_UPSTREAM_URL')) (fn () => $this->baseUrl = $standIn)->call($client->api); // the demo's
$sid = $client->messages->create($to, ['from' => $from, 'body' => 'Your code is 493017.', 'provideFeedback' => true])->sid;
reportLater('/app/messages', ['MessageSid' => $sid, 'To' => $to, 'From' => $from, 'CreatedAt' => $now]);
reportLater('/app/events', ['MessageSid' => $sid, 'Type' => 'code_entered', 'OccurredAt' => $now]); // when it was entered
echo $sid, "\n";
