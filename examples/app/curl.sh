#!/bin/sh
# Sends a login code through Heardback and reports that it was entered. Try it: sh curl.sh +15558675310
# While openssl runs, the key is visible in the process list.
set -eu

# Heardback in place of https://api.twilio.com. curl reads the token from a pipe, so that no process list shows it.
sid=$(printf 'user = "%s:%s"\n' "$TWILIO_ACCOUNT_SID" "$TWILIO_AUTH_TOKEN" |
    curl --silent --show-error --fail --config - --max-time 20 --data-urlencode "To=$1" \
        --data-urlencode "From=$TWILIO_FROM" --data-urlencode 'Body=Your code is 493017.' \
        "$HEARDBACK_PUBLIC_URL/2010-04-01/Accounts/$TWILIO_ACCOUNT_SID/Messages.json" | jq -er .sid)
[ -n "$sid" ] # or ends here: curl has printed the reason
echo "$sid" # store it with the login

# A job for your queue: report SID TIME prints the answer's status, or 000. The fields are signed, sorted by name.
report() {
    signature=$(printf %s "$HEARDBACK_PUBLIC_URL/app/eventsMessageSid${1}OccurredAt${2}Typecode_entered" |
        openssl dgst -sha1 -hmac "$HEARDBACK_APP_KEYS" -binary | base64)
    curl --silent --show-error --output /dev/null --max-time 2 --write-out '%{http_code}' \
        --header "X-Twilio-Signature: $signature" --data "MessageSid=$1&Type=code_entered" \
        --data-urlencode "OccurredAt=$2" "$HEARDBACK_PUBLIC_URL/app/events"
}

# When the code was entered: repeated after a timeout, a 403 or a 503, for an hour.
entered_at=$(date -u +%Y-%m-%dT%H:%M:%S.999Z) # the end of the second, so that it is never too early
for wait in 5 10 20 40 80 160 320 640 1280 2560; do
    status=$(report "$sid" "$entered_at") || true
    case $status in 2?? | 400 | 409 | 413 | 414 | 415) break ;; esac # accepted, or refused for good
    sleep "$wait"
done
echo "$status" >&2
