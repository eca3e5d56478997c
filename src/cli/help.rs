//! The text below the help of each command: secrets, exit codes and examples.

use crate::config;

pub(super) const EXAMPLES: &str = "\
Examples:
  heardback demo                          see it work, no account needed
  heardback check                         are the settings right, and what goes into Twilio?
  heardback serve                         run it; settings come from the environment
  heardback doctor                        is all well around it? with a FILE: why was it refused?
  heardback health --ready                can it take an event? the exit code says it
  heardback stats                         how does it stand? then list, show, requeue
  heardback backup /data/backup           the whole store in one file, while it serves
  heardback forget +15551234567           erase what concerns a person

`heardback serve --help` lists every setting.
Exit codes: 0 done, 1 failed, 2 wrong usage or settings, 3 (serve) the store
is not at its path any more.";

/// The help of `serve` and `check`.
pub(super) fn serve_help() -> String {
    let mut secrets = String::new();
    for (name, help) in config::secrets() {
        let column = format!("  {name:<COLUMN$} ");
        let (first, at) = if column.len() > COLUMN + 3 {
            (format!("{}\n", column.trim_end()), 0)
        } else {
            (column, COLUMN + 3)
        };
        secrets.push_str(&first);
        secrets.push_str(&wrapped(help, at, COLUMN + 3, 82));
        secrets.push('\n');
    }
    format!("{SECRETS_HEAD}\n{secrets}\n{SERVE_REST}")
}

/// The column of the secrets' names.
const COLUMN: usize = 20;

/// Text in lines of at most `width`, each indented. The first begins in column `at`.
fn wrapped(text: &str, at: usize, indent: usize, width: usize) -> String {
    let (mut out, mut column) = (" ".repeat(indent.saturating_sub(at)), indent);
    for (number, word) in text.split(' ').enumerate() {
        let fits = column + 1 + word.chars().count() <= width;
        if number > 0 && !fits {
            out.push('\n');
            out.push_str(&" ".repeat(indent));
            column = indent;
        } else if number > 0 {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += word.chars().count();
    }
    out
}

/// Where the settings of `doctor` and `replay` come from.
fn settings_from_the_environment() -> String {
    let names: Vec<&str> = config::secrets().map(|(name, _)| name).collect();
    let text = format!(
        "It takes the settings of `serve` from the environment, secrets included (see `heardback serve \
         --help`: {}).",
        names.join(", ")
    );
    wrapped(&text, 0, 0, 97)
}

const SECRETS_HEAD: &str =
    "Secrets come from the environment only; with _FILE after the name, from a file:";

const SERVE_REST: &str = "\
A flag given beats its environment variable; an empty value counts as unset. A variable
whose name is close to a setting's is a problem, because it would be ignored.
Durations: 90s, 15m, 1h30m, 24h, 7d (a day is 24 hours).

Example:
  HEARDBACK_PUBLIC_URL=https://hooks.example.com \\
  TWILIO_ACCOUNT_SID=AC… TWILIO_AUTH_TOKEN_FILE=/run/secrets/twilio \\
  heardback serve --dry-run";

/// The help of `doctor`.
pub(super) fn doctor_help() -> String {
    format!("{}\n\n{DOCTOR_REST}", settings_from_the_environment())
}

const DOCTOR_REST: &str = "\
It never posts, never opens the store, and shows no secret, signature, phone number or text.

With --watch the running service sends the requests that it refuses over its control socket, at
most one a second, until Ctrl-C, --for or --count ends it. No restart is needed. They may hold
phone numbers and texts: they stay in memory and are not kept, unless --keep names a folder.

Exit codes with files or --watch: 0 it is known why, or all is good; 1 not found; 2 wrong usage or
settings. Without: 0 nothing failed (warnings are no failure), 1 something did, 2 wrong settings.

Examples:
  heardback doctor
  heardback doctor --watch --for 5m
  HEARDBACK_RECORD_REFUSED=/var/tmp/refused heardback serve     then, once a request was refused:
  heardback doctor /var/tmp/refused/*.http";

pub(super) const HEALTH_HELP: &str = "\
One line says what it found. It needs no secret and no other setting, waits 3 s at most, and asks
over loopback where the service listens on every address ([::] or 0.0.0.0).

--ready is false while the service opens its store, drains, or cannot write to its disk. Restart a
container for want of `health`, never for want of `health --ready`: a full disk does not get
emptier by it.

Exit codes: 0 yes, 1 no, 2 wrong usage or settings.

Examples:
  heardback health
  heardback health --ready
  fly ssh console -C \"heardback health --ready\"";

/// The help of `replay`.
pub(super) fn replay_help() -> String {
    format!("{REPLAY_FIRST}\n\n{}\n\n{REPLAY_REST}", settings_from_the_environment())
}

const REPLAY_FIRST: &str = "\
Each request is signed as Twilio or your app would sign it now, with the key that the settings
have for its route and account and for the first HEARDBACK_PUBLIC_URL, and sent to this
machine's service, in the order given. So a request that was refused for a setting that is right
now is not lost.";

const REPLAY_REST: &str = "\
Nothing is counted twice: each inbound message, call and event counts once, by its SID or id,
and longer than any message stays pending. But what does not say when it was would count as of
now, and so might be taken to be about a message that was sent after it: a reply or a ringing
call that was never counted, an app's event that names only a person or a reference and no
OccurredAt, and a message that is registered without CreatedAt (or by feedback=1). These are
sent with --as-of-now only: for when nothing newer went out to these people since.

Nobody is signed for who did not sign: what strangers sent was refused and recorded like the
rest. A recording is sent only if its own signature is that of a key that the settings have for
its route and account, over all that it says; the host, the path's prefix and the header's
spelling may differ. What you wrote by hand has no such signature: --unproven sends it, and
never what a service refused and recorded. `heardback doctor` says how a recording was signed.

What came of it the answer says, or the store of the service; with --to, which may be another
machine's, only the answer. Not sent is what nobody signs (click links, /twilio/click/SECRET),
what names an account that the settings do not have, and what was recorded without its values or
its body. No body is shown.

Exit codes: 0 each got a 2xx (with --dry-run: could be sent), 1 some did not; 2 wrong usage or
settings, or a file that is no recording: then nothing is sent.

Examples:
  heardback replay --dry-run /var/tmp/refused/*.http
  heardback replay /var/tmp/refused/*.http
  heardback replay --to https://hooks.example.com --json reply.http | jq .result";

pub(super) const BACKUP_HELP: &str = "\
It asks the service that has the store open, over control.sock in the store's folder, and the
service goes on meanwhile; if none runs, it opens the store itself. The backup is the store as
it stood when the command ended. It takes its name only when it is whole; until then the last
one stays. It holds what the store holds, with the key that hashes recipients unless
HEARDBACK_PHONE_KEY is set: keep it as you keep the store.

Example:
  heardback backup /data/backup
  fly ssh console -C \"heardback backup /data/backup\"";

pub(super) const FORGET_HELP: &str = "\
Erased are the messages to that person in every state, what waits to be reported included;
their click links; the evidence that waits; the reference of these messages, wherever else it
stands; and the requests that HEARDBACK_RECORD_REFUSED keeps. A full number is one person, on
WhatsApp and off it; on any other channel they are named with it, as in viber:+15551234567.

Kept is what names nobody: counts in the metrics, and that a SID was counted once. Backups made
before still hold what they hold. In sled's file what was erased stays until it is written
over; a store restored from a fresh backup has none of it. What comes in afterwards is new.

It asks the service that has the store open; if none runs, it opens the store itself, and then
needs HEARDBACK_PHONE_KEY (or _FILE) and HEARDBACK_RECORD_REFUSED as the service has them.
People are found by the key that the store has now: what was kept under an earlier one goes
when its time has passed.

Examples:
  heardback forget +15551234567
  heardback forget - < erase.txt";

pub(super) const RESTORE_HELP: &str = "\
The service must be stopped, and the store's folder missing or empty. If it is cut short, no
store is there; run it again.

Example:
  heardback restore /data/backup --store sled:/data/heardback";

pub(super) const VERIFY_HELP: &str = "\
Exit codes: 0 it is all there, 1 it is not, or cannot be read; 2 wrong usage or settings.

Examples:
  heardback verify-store
  heardback verify-store /data/backup --json";

pub(super) const SIGN_HELP: &str = "\
The path chooses the key: HEARDBACK_APP_KEYS for /app/… (TWILIO_AUTH_TOKEN if it is not set),
TWILIO_AUTH_TOKEN for /twilio/…; of several the first. --key-env or --auth-token-file names
another one. Standard error says which key it took.

Examples:
  heardback sign https://hooks.example.com/twilio/message --form MessageSid=SM… --curl
  heardback sign https://hooks.example.com/app/events --json @event.json --curl
  heardback sign https://hooks.example.com/app/messages/SM…";

pub(super) const LIST_HELP: &str = "\
It asks the service that has the store open; if none runs, it opens the store itself, and then
needs HEARDBACK_PHONE_KEY (or _FILE) if the service has it. The table fits the terminal;
written elsewhere, it has one line a record. The age is that of the present state. Of what an
account on hold has waiting nothing is next; nor in a dry run, nor before the service runs.
Why Twilio has closed an account's lane, `heardback stats` says.

Examples:
  heardback list --state refused --code 20429
  heardback list --state confirmed --older-than 1h
  heardback list --calling-code 49 --newer-than 1d --json | jq .message_sid
  heardback list --account AC0123456789abcdef0123456789abcdef
  heardback list --orphans";

pub(super) const SHOW_HELP: &str = "\
A reference may name several messages; the newest comes first. Evidence that waits for them is
shown, too. Of several attempts to report a message only the last is kept; the others are
counted. A requeue counts them anew, and once Twilio has taken or refused the message again,
only the service's log has it and the refusals before. What looks like a phone number in the
app's own words is hidden.

It asks the service that has the store open; if none runs, it opens the store itself, and then
needs HEARDBACK_PHONE_KEY (or _FILE) if the service has it.

Exit codes: 0 something is known, 1 nothing is; 2 wrong usage.

Examples:
  heardback show SM0123456789abcdef0123456789abcdef
  heardback show login-4711 --json";

pub(super) const STATS_HELP: &str = "\
Conversion is the share of what was sent with feedback asked for that is proven to have
arrived. Times are those of creation, by the hour or the day (UTC); what was forgotten is not
in it. It asks the service that has the store open; if none runs, it opens the store itself,
and then needs HEARDBACK_PHONE_KEY (or _FILE) if the service has it.

An account that an operator has put `on_hold` is told first; then, of a service that runs, the
lanes that Twilio has closed, as /readyz and the operator's page tell them: `held` where it asked
to wait (429), `paused` where it turns the account away (401, 403).

Examples:
  heardback stats
  heardback stats --json | jq '.waiting.confirmed.oldest'";

pub(super) const PAUSE_HELP: &str = "\
An account on hold takes everything in as before, and reports nothing; what is under way goes
on. It stays on hold when the service starts again. A running service heeds it at once.

On hold is what an operator does; paused is what Twilio does, when it turns the account away:
`paused` in /readyz, the alert HeardbackLanePaused. That ends by itself once it is put right.
`heardback stats` and the operator's page tell the two apart.

The account is that of TWILIO_ACCOUNT_SID if none is named. It asks the service that has the
store open; if none runs, it opens the store itself, and then needs HEARDBACK_PHONE_KEY (or
_FILE) if the service has it.

Examples:
  heardback pause AC0123456789abcdef0123456789abcdef
  heardback resume AC0123456789abcdef0123456789abcdef";

pub(super) const CLOCK_HELP: &str = "\
Records expire and are removed by a trusted time: the wall clock's, but never more than an hour
ahead of the store's last time plus the time that has passed. After a larger jump ahead the
service goes on by that time until the Date of one of Twilio's answers agrees with the clock, or
you do. A service in dry run posts nothing, but asks Twilio what time it is as well.

It asks the service that has the store open; if none runs, it opens the store itself, and then
needs HEARDBACK_PHONE_KEY (or _FILE) if the service has it. A service that was off for longer
than an hour asks Twilio itself when it starts.

Exit codes: 0 the clock is agreed upon, 1 it jumped; 2 wrong usage.

Examples:
  heardback clock
  heardback clock --confirm";

pub(super) const REQUEUE_HELP: &str = "\
A refused message is reported again, its attempts counted anew. `heardback list --state
refused` lists them.

--reported-since posts messages again that count as reported, for the time in which another
server than Twilio took the posts (a wrong HEARDBACK_UPSTREAM_URL, a proxy). TIME is RFC 3339,
or a duration before now such as 90m or 2d. Posting a confirmation twice does no harm.

It asks the service that has the store open; if none runs, it opens the store itself, and then
needs HEARDBACK_PHONE_KEY (or _FILE) if the service has it.

Exit codes: 0 all that was named is queued, 1 some could not be; 2 wrong usage.

Examples:
  heardback requeue SM0123456789abcdef0123456789abcdef
  heardback requeue --all --code 20429
  heardback requeue --reported-since 2026-11-23T10:00:00Z";

pub(super) const EXPORT_HELP: &str = "\
A line a record: messages with their whole life, evidence that waits, click links, what was
counted once, senders, accounts on hold; a header first, an end with the counts last. Persons
are in it as the keyed hashes that the store has: never a recipient's address, a message's text
or a click link's token, and the key is not in it. What your app named is in it as it is: where
links lead (with what that address bears), references, types of events; so are senders' numbers
and Twilio's words. With --out it is written beside, to NAME.part, until it is whole. The file
is for its owner alone, and is never written over. It asks the service that has the store open,
which goes on meanwhile: what comes in then may or may not be in it. If none runs, it opens the
store itself, and then needs HEARDBACK_PHONE_KEY (or _FILE) if the service has it.

Examples:
  heardback export --out ledger.jsonl
  heardback export | jq -c 'select(.type == \"message\" and .state == \"refused\")'
  heardback export | gzip > ledger.jsonl.gz";

pub(super) const IMPORT_HELP: &str = "\
A record that is not here is added; an equal one is skipped. A message that is here and differs
is completed: missing facts (code, reference, recipient) are filled in, and nothing is
overwritten. A state that is further along is taken, so nothing is reported twice; otherwise the
record here stays, and is counted and listed as kept. After the last record, parked evidence of
both stores is judged anew, as at a registration. Stop the service that the export comes from:
confirmed messages are reported from here on.

Import again after an import that was cut off, or with a later export. If this service takes
traffic already, put accounts on hold here (`heardback pause`) until the import has ended. An
account that was on hold there is on hold here. Messages that were forgotten since the export
are back: forget them again.

Both stores need the same HEARDBACK_PHONE_KEY. Where the source has none, its key is its own:
`heardback backup` and `restore` take that along, an export does not. A file is read to its end
before anything is written; stdin cannot be. It asks the service that has the store open; if
none runs, it opens the store itself, and then needs HEARDBACK_PHONE_KEY (or _FILE).

On a stopped store HEARDBACK_MAX_MESSAGES and HEARDBACK_MAX_PARKED hold if they are set for this
command.

Exit codes: 0 all records are here, 1 they are not; 2 wrong usage or settings.

Examples:
  heardback import ledger.jsonl
  gunzip -c ledger.jsonl.gz | heardback import -";

pub(super) const COMPLETIONS_HELP: &str = "\
Examples:
  heardback completions bash > /etc/bash_completion.d/heardback
  heardback completions zsh > \"${fpath[1]}/_heardback\"
  heardback completions fish > ~/.config/fish/completions/heardback.fish";

pub(super) const MAN_HELP: &str = "\
Examples:
  heardback man > heardback.1 && man ./heardback.1
  heardback man --dir /usr/local/share/man/man1      then: man heardback, man heardback-list";

pub(super) const CSV_HELP: &str = "\
With --csv, each line says of one message that its recipient proved to have it: a code entered,
a password used, a link opened. It is remembered and confirmed as by POST /app/events with a
MessageSid, and reported to Twilio. A delivery receipt proves nothing: do not import all that
Twilio lists as delivered. Lines that say of themselves that they are inbound, failed,
undelivered or canceled, or have an ErrorCode or a status that no outbound message has, are
refused; so are accounts that TWILIO_ACCOUNT_SID and HEARDBACK_ACCOUNTS_FILE do not have, where
one of these is set.

The first line names the columns, in any order and case. Reference and Type are kept and shown
by `heardback show`. Others are ignored; numbers and texts in those are not looked at:
  MessageSid   or Sid, required
  AccountSid   the account of TWILIO_ACCOUNT_SID where it is missing
  Reference    the app's name for what the message was about
  CreatedAt    or DateCreated, else DateSent or SentDate: when it was sent, RFC 3339 or 2822
  OccurredAt   when it was proven, RFC 3339; without it, now
  Type         how, such as code_entered; without it, event

Each becomes a post to Twilio, so a running service is given at most --rate of them a second (or
a minute: 600/m). On a stopped store nothing waits, all is posted once `serve` starts, and --rate
is refused. What
was confirmed before is counted as known and costs no time: an import that was interrupted is
simply run again. A line that cannot be used is listed by its number; the others go on.
Such is one with more or fewer columns than the first, of more than 64 KiB, or with a stray quote
that swallows other lines: then none of these is used. A text in quotes may hold line breaks.
Twilio names no date after which feedback is too late, but it deletes messages, by default after
400 days, and it wants ProvideFeedback=true to have been set when the message was created: what
it will not take shows in `heardback list --state refused`.

It asks the service that has the store open; if none runs, it opens the store itself, and then
needs HEARDBACK_PHONE_KEY (or _FILE) and the settings of judgement (HEARDBACK_PENDING_TTL,
HEARDBACK_RETENTION, HEARDBACK_RESEND and the like) as the service has them.

Exit codes: 0 every line is confirmed or known, 1 some are not; 2 wrong usage, or a file without
that column.

Examples:
  heardback import --csv arrived.csv
  heardback import --csv --rate 120/m - < arrived.csv";
