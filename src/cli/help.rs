//! The text below the help of each command: behaviour, exit codes and examples. A line has at most 98 columns.

use crate::config;

pub(super) const EXAMPLES: &str = "\
Examples:
  heardback demo                          try it, without an account
  heardback check                         check the settings; print the URLs for Twilio
  heardback serve                         run the service; settings come from the environment
  heardback doctor                        check its surroundings; with a FILE, explain a refusal
  heardback health --ready                check by exit code that it can take an event
  heardback stats                         count the records; then list, show, requeue
  heardback backup /data/backup           write the whole store to one file, without a stop
  heardback forget +15551234567           erase the records of a person

`heardback serve --help` lists every setting.
Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 (serve) the store
is no longer at its path.";

const COLUMN: usize = 23;

/// The help of `serve` and `check`.
pub(super) fn serve_help() -> String {
    let mut secrets = String::new();
    for (name, help) in config::secrets() {
        let name = format!("  {name} ");
        let begin = if name.len() > COLUMN {
            format!("{}\n{:COLUMN$}", name.trim_end(), "")
        } else {
            format!("{name:COLUMN$}")
        };
        secrets.push_str(&begin);
        secrets.push_str(&wrapped(help, COLUMN, 82));
        secrets.push('\n');
    }
    format!(
        "Secrets come from the environment. With _FILE after the name, they come from a file:\n\
         {secrets}\n{SERVE_REST}"
    )
}

/// Wraps a text whose first line begins in column `indent`. Each further line is indented to it.
fn wrapped(text: &str, indent: usize, width: usize) -> String {
    let (mut out, mut column) = (String::new(), indent);
    for word in text.split(' ') {
        let length = word.chars().count();
        if !out.is_empty() && column + 1 + length > width {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else if !out.is_empty() {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out
}

const SERVE_REST: &str = "\
A flag takes precedence over its environment variable. An empty value counts as unset. A variable
whose name is close to a setting's name is a problem, because its value would be ignored.
Durations: 90s, 15m, 1h30m, 24h, 7d (a day has 24 hours).

Example:
  HEARDBACK_PUBLIC_URL=https://hooks.example.com \\
  TWILIO_ACCOUNT_SID=AC… TWILIO_AUTH_TOKEN_FILE=/run/secrets/twilio \\
  heardback serve --dry-run";

/// Completes a text: `{store}` is the paragraph on the store of a command, `{settings}` that on its settings.
pub(super) fn expand(text: &str) -> String {
    let secrets: Vec<&str> = config::secrets().map(|(name, _)| name).collect();
    let settings = format!(
        "The settings are those of `serve`, from the environment, with the secrets (see `heardback serve --help`: \
         {}).",
        secrets.join(", ")
    );
    text.replace("{settings}", &wrapped(&settings, 0, 97)).replace("{store}", STORE)
}

const STORE: &str = "\
If a service has the store open, the command runs in the service. Otherwise it opens the store,
and needs HEARDBACK_PHONE_KEY (or _FILE) if the service has it.";

pub(super) const DOCTOR_HELP: &str = "\
{settings}

It never posts to Twilio, never opens the store, and shows no secret, signature, phone number or
text. Only with --ask-app it sends requests to your app: two for each URL that webhooks are
forwarded to, with the account and no message, call or person.

With --watch, the running service sends the requests that it rejects over its control socket, at
most one a second. Ctrl-C, --for or --count ends the watch. The service needs no restart.
Requests may contain phone numbers and texts. They stay in memory, unless --keep names a folder.

Exit codes with files or --watch: 0 all causes are found, or nothing is wrong; 1 a cause is not
found; 2 wrong usage or settings. Without: 0 nothing failed (a warning is no failure), 1 a check
failed, 2 wrong settings.

Examples:
  heardback doctor
  heardback doctor --ask-app
  heardback doctor --watch --for 5m
  HEARDBACK_RECORD_REFUSED=/var/tmp/refused heardback serve     then, after a refusal:
  heardback doctor /var/tmp/refused/*.http";

pub(super) const HEALTH_HELP: &str = "\
It prints one line, needs no secret and no other setting, and waits 3 s at most. If the service
listens on every address ([::] or 0.0.0.0), the request goes over loopback.

--ready fails while the service opens its store, drains, or cannot write to its disk. Restart a
container if `health` fails. Do not restart it if only `health --ready` fails: a restart does not
free a full disk.

Exit codes: 0 healthy, 1 not healthy, 2 wrong usage or settings.

Examples:
  heardback health
  heardback health --ready
  fly ssh console -C \"heardback health --ready\"";

pub(super) const REPLAY_HELP: &str = "\
Each request is signed as Twilio or your app would sign it now: with the key that the settings
have for its route and account, and for the first HEARDBACK_PUBLIC_URL. Then it is sent to the
service on this machine, in the order given. Use it after you correct the setting that caused a
refusal.

{settings}

Nothing is counted twice: each inbound message, call and event counts once, by its SID or id, for
longer than any message stays pending. A request without a time would count as of now, and could
confirm a message that was sent after it. This concerns a reply or a ringing call that was never
counted, an app's event that names only a person or a reference and no OccurredAt, and a message
that is registered without CreatedAt (or by feedback=1). They are sent with --as-of-now only. Use
it if you have sent no newer message to these people since.

A recording is sent only if a key of the settings for its route and account signed all of it. The
host, the prefix of the path and the spelling of the header may differ. Forged requests, which
the service also rejected and recorded, are never sent. A request that you wrote by hand has no
such signature: --unproven sends it. `heardback doctor` shows how a recording was signed.

The result comes from the response, or from the store of the service. With --to, which may name
another machine, it comes from the response only. Not sent are requests without a signature
(click links, /twilio/click/SECRET), requests for accounts that the settings do not have, and
recordings without values or body. No body is shown.

Exit codes: 0 each request got a 2xx (with --dry-run: can be sent), 1 some did not, 2 wrong usage
or settings, or a file that is no recording (then nothing is sent).

Examples:
  heardback replay --dry-run /var/tmp/refused/*.http
  heardback replay /var/tmp/refused/*.http
  heardback replay --to https://hooks.example.com --json reply.http | jq .result";

pub(super) const BACKUP_HELP: &str = "\
If a service has the store open, it writes the backup over control.sock in the store's folder,
and continues to serve. Otherwise the command opens the store. The backup is the state of the
store when the command ends. It gets its name when it is complete; until then the previous one
stays. It contains all of the store, with the key that hashes recipients unless
HEARDBACK_PHONE_KEY is set: protect it like the store.

Examples:
  heardback backup /data/backup
  fly ssh console -C \"heardback backup /data/backup\"";

pub(super) const FORGET_HELP: &str = "\
It erases the messages to that person in every state, confirmed ones that are not reported yet
included; their click links; parked evidence; the reference of these messages on every record;
and the requests that HEARDBACK_RECORD_REFUSED keeps. A full number is one person, on WhatsApp
and off it. On another channel, name the channel, too, as in viber:+15551234567.

It keeps data without a person: counts in the metrics, and the SIDs that were counted once. It
does not change earlier backups. In sled's file, erased data stays until it is overwritten; a
store that is restored from a new backup has none of it. Records that arrive afterwards are new.

{store}
It then also needs HEARDBACK_RECORD_REFUSED. Records that were kept under an earlier key are not
found; they expire in their time.

Examples:
  heardback forget +15551234567
  heardback forget - < erase.txt";

pub(super) const RESTORE_HELP: &str = "\
Stop the service first. The store's folder must be missing or empty. An interrupted restore
leaves no store; run it again.

Example:
  heardback restore /data/backup --store sled:/data/heardback";

pub(super) const VERIFY_HELP: &str = "\
On a sled store it reads every record and computes the seal again. On a database it recounts all
rows in one snapshot, compares the counters with them, and prints the counts and checksums of
`heardback export --digest`. The receivers may run. The counters decide limits and statistics,
not which message is confirmed.

Exit codes: 0 complete, 1 not complete or not readable, 2 wrong usage or settings.

Examples:
  heardback verify-store
  heardback verify-store /data/backup --json";

pub(super) const MIGRATE_HELP: &str = "\
Run this before the receivers of a new release start, with the role that owns the tables. It can be
repeated. `serve` never changes the schema. It accepts the schema of its own release and that of the
next release, and rejects any other.

Exit codes: 0 the schema is that of this release, 1 failed, 2 wrong usage or settings.

Examples:
  HEARDBACK_STORE_FILE=/run/secrets/owner-url heardback store migrate
  heardback store migrate --store postgres://owner@db.example.com/heardback";

pub(super) const DEMO_HELP: &str = "\
With --store, two receivers share a database. One gets the registrations, the other one all other
requests, so each confirmation crosses from one to the other. The demo creates a schema
heardback_demo_… with its tables, and removes it at the end. It touches nothing else in the
database. The role needs the right to create a schema. A password comes from PGPASSWORD or
~/.pgpass.

Examples:
  heardback demo
  heardback demo --keep
  heardback demo --store postgres://localhost/postgres";

pub(super) const KEY_HELP: &str = "\
A sled store whose service has no HEARDBACK_PHONE_KEY keeps a random key, with which it hashes
recipients' addresses. Receivers on a database, and every store that imports its records, need
the same key. The command prints it to standard output alone, as hex: and its digits:
HEARDBACK_PHONE_KEY takes this form. The service may run. The key is a secret: an attacker with
the key and the store can find the numbers in it.

Exit codes: 0 printed, 1 the store keeps no key, or does not respond, 2 wrong usage or settings.

Example:
  (umask 077 && heardback store key --store sled:/data/heardback > /run/secrets/phone-key)
  HEARDBACK_PHONE_KEY_FILE=/run/secrets/phone-key heardback serve";

pub(super) const SIGN_HELP: &str = "\
The path selects the key: the first of HEARDBACK_APP_KEYS for /app/… (TWILIO_AUTH_TOKEN if it is
not set), the first of TWILIO_AUTH_TOKEN for /twilio/…. --key-env or --auth-token-file names
another key. Standard error names the selected key.

Examples:
  heardback sign https://hooks.example.com/twilio/message --form MessageSid=SM… --curl
  heardback sign https://hooks.example.com/app/events --json @event.json --curl
  heardback sign https://hooks.example.com/app/messages/SM…";

pub(super) const LIST_HELP: &str = "\
The table fits the terminal. Written to a file or a pipe, it has one line for each record. The
age is the time in the present state. The column `next` is empty for an account on hold, in a dry
run, and before the service runs. `heardback stats` shows why Twilio has closed an account's
lane.

{store}

Examples:
  heardback list --state refused --code 20429
  heardback list --state confirmed --older-than 1h
  heardback list --calling-code 49 --newer-than 1d --json | jq .message_sid
  heardback list --account AC0123456789abcdef0123456789abcdef
  heardback list --orphans";

pub(super) const SHOW_HELP: &str = "\
A reference may name several messages; the newest comes first. Parked evidence for them is shown,
too. Of several attempts to report a message, only the last is kept; the others are counted. A
requeue resets the count. After Twilio answers a requeued message, only the service's log has the
earlier attempts and refusals. Phone numbers in references and labels of the app are hidden.

{store}

Exit codes: 0 found, 1 not found, 2 wrong usage.

Examples:
  heardback show SM0123456789abcdef0123456789abcdef
  heardback show login-4711 --json";

pub(super) const STATS_HELP: &str = "\
Conversion is the share of proven messages among those that were sent with feedback requested.
Messages count in the hour or day (UTC) of their creation. Forgotten messages are not counted.

Accounts that an operator has put `on_hold` come first. A running service adds the lanes that
Twilio has closed, as /readyz and the operator's page show them: `throttled` if Twilio requested a
wait (429), `paused` if it rejects the account (401, 403, 3xx, or 404 for twenty posts in a row).

{store}

Examples:
  heardback stats
  heardback stats --json | jq '.waiting.confirmed.oldest'";

pub(super) const HOLD_HELP: &str = "\
An account on hold still accepts all requests, but none of its messages are reported. Posts in
flight end normally. The hold survives a restart of the service, and takes effect at once.

An operator puts an account on hold. Twilio pauses one by rejecting it: `paused` in /readyz,
alert HeardbackLanePaused. A pause ends when its cause is corrected. `heardback stats` and the
operator's page show the difference.

{store}

Examples:
  heardback hold AC0123456789abcdef0123456789abcdef
  heardback resume AC0123456789abcdef0123456789abcdef";

pub(super) const CLOCK_HELP: &str = "\
Records expire by a trusted time. It follows the wall clock, but is never more than an hour ahead
of the store's last time plus the time that has passed. After a larger jump ahead, the service
uses the trusted time until the Date of a response from Twilio, or you, confirm the wall clock. A
service in dry run posts nothing, but still requests the time from Twilio. So does a service that
starts after more than an hour.

{store}

Exit codes: 0 the clock is confirmed, 1 it jumped, 2 wrong usage.

Examples:
  heardback clock
  heardback clock --confirm";

pub(super) const REQUEUE_HELP: &str = "\
A refused message is reported again, and its attempts are counted from zero. `heardback list
--state refused` lists them.

--reported-since posts messages again that count as reported. Use it for the time in which
another server than Twilio answered the posts (a wrong HEARDBACK_UPSTREAM_URL, a proxy). TIME is
RFC 3339, or a duration before now such as 90m or 2d. To post a confirmation twice does no harm.

{store}

Exit codes: 0 all named messages are queued, 1 some are not, 2 wrong usage.

Examples:
  heardback requeue SM0123456789abcdef0123456789abcdef
  heardback requeue --all --code 20429
  heardback requeue --reported-since 2026-11-23T10:00:00Z";

pub(super) const EXPORT_HELP: &str = "\
Each line is one record: messages with their history, parked evidence, click links, counted ids,
senders, accounts on hold. A header comes first, and an end with the counts last.

Persons are exported as the keyed hashes of the store. The export contains no recipient's
address, no text of a message, no token of a click link, and not the key. It contains the data of
your app unchanged: targets of links (with their parameters), references, types of events. It
also contains senders' numbers and Twilio's error texts.

With --digest, the command prints no record. Each line has a kind of records, their number and a
checksum: the sum of their HMACs under the phone key, in any order. Two stores with the same
records print the same lines. Left out is what a move changes: attempts under way, due times,
codes, and the reason why evidence is parked. Compare outputs of the same release.

With --out, the file is NAME.part until it is complete. Only its owner may read it, and no file
is overwritten. A service continues to serve during an export; records that arrive meanwhile may
or may not be included.

{store}

Examples:
  heardback export --out records.jsonl
  heardback export --digest
  heardback export | jq -c 'select(.type == \"message\" and .state == \"refused\")'
  heardback export | gzip > records.jsonl.gz";

pub(super) const IMPORT_HELP: &str = "\
A new record is added; an equal one is skipped. A message that is here and differs is completed:
missing facts (code, reference, recipient) are added, and no fact is overwritten. A state that is
further along replaces an earlier one, so that no message is reported twice. Any other difference
keeps the record that is here; it is counted and listed as kept. After the last record, the
parked evidence of both stores is judged again, as at a registration. Stop the service that the
export comes from: confirmed messages are reported from here.

An interrupted import loses nothing: each hundred records are one transaction. Run it again; the
records that are here are skipped, and the result is the same. A later export can be imported,
too. If this service already has traffic, put its accounts on hold (`heardback hold`) until the
import ends. An account that was on hold there is on hold here. Messages that were forgotten
after the export are back: forget them again.

Both stores need the same HEARDBACK_PHONE_KEY. A sled store without one keeps a key of its own:
`heardback store key` prints it, in the form that HEARDBACK_PHONE_KEY takes. A file is checked to
its end before the first write; stdin cannot be.

With --verify, nothing is changed. Each record of FILE is compared with the store: it is here if
an import would add no fact to it. The output has the lines of `export --digest` for those
records of FILE. It equals that of the source if none is missing, even if this store has traffic.
Records that have expired, and parked evidence that was used, count as here; standard error has
their number.

{store}
On a stopped store and on a database, the command also needs the settings of matching and the
limits (HEARDBACK_REPLY_WINDOW, HEARDBACK_MAX_MESSAGES, …) as the service has them.

Exit codes: 0 all records are here, 1 some are not, 2 wrong usage or settings.

Examples:
  heardback import records.jsonl
  gunzip -c records.jsonl.gz | heardback import -
  heardback import --verify records.jsonl

With --csv, each line is one message whose recipient proved that it arrived: a code entered, a
password used, a link opened. The message is confirmed as by POST /app/events with a MessageSid,
and reported to Twilio. A delivery receipt proves nothing: do not import all messages that Twilio
lists as delivered. Lines are rejected if they name an inbound, failed, undelivered or canceled
message, an ErrorCode, or a status that no outbound message has. If TWILIO_ACCOUNT_SID or
HEARDBACK_ACCOUNTS_FILE is set, lines for other accounts are rejected.

The first line names the columns, in any order and case. `heardback show` shows Reference and
Type. Other columns are ignored, with their numbers and texts:
  MessageSid   or Sid, required
  AccountSid   the account; by default TWILIO_ACCOUNT_SID
  Reference    the app's name for the message
  CreatedAt    or DateCreated, DateSent, SentDate: the time of sending, RFC 3339 or 2822
  OccurredAt   the time of the proof, RFC 3339; by default now
  Type         the kind of proof, such as code_entered; by default event

Each line becomes a post to Twilio. A running service gets at most --rate lines a second (or a
minute: 600/m). A stopped store posts all of them once `serve` starts, and rejects --rate. A
message that is already confirmed counts as known and takes no time, so run an interrupted import
again. A line that cannot be used is listed by its number, and the import continues. This
concerns lines with more or fewer columns than the first, lines of more than 64 KiB, and a stray
quote that includes other lines: none of these are used. A text in quotes may contain line
breaks.

Twilio documents no last date for feedback. It deletes messages, by default after 400 days, and
requires ProvideFeedback=true at their creation. `heardback list --state refused` shows the
messages that Twilio rejects.

On a stopped store, the command also needs the settings of matching (HEARDBACK_PENDING_TTL,
HEARDBACK_RETENTION, HEARDBACK_RESEND, …) as the service has them.

Exit codes with --csv: 0 every line is confirmed or known, 1 some are not, 2 wrong usage, or a
file without the column.

Examples with --csv:
  heardback import --csv arrived.csv
  heardback import --csv --rate 120/m - < arrived.csv";

pub(super) const COMPLETIONS_HELP: &str = "\
Examples:
  heardback completions bash > /etc/bash_completion.d/heardback
  heardback completions zsh > \"${fpath[1]}/_heardback\"
  heardback completions fish > ~/.config/fish/completions/heardback.fish";

pub(super) const MAN_HELP: &str = "\
Examples:
  heardback man > heardback.1 && man ./heardback.1
  heardback man --dir /usr/local/share/man/man1      then: man heardback, man heardback-list";
