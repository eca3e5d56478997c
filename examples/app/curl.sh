#!/bin/sh
# A login code, sent and told to Heardback with curl and openssl alone. Try it: sh curl.sh +15558675310
# While openssl runs, whoever may look at the process list sees the key.
set -eu

# tell PATH NAME=VALUE…: nobody waits for it; after a 503 or where nobody answers curl tries again, for an hour.
tell() {
    url=$HEARDBACK_URL$1 # the public URL, for it is signed
    shift
    # The URL, then each name and value, sorted by name, nothing between.
    text=$url$(printf '%s\n' "$@" | LC_ALL=C sort | sed 's/=//' | tr -d '\n')
    signature=$(printf %s "$text" | openssl dgst -sha1 -hmac "$HEARDBACK_APP_KEY" -binary | base64)
    for field in "$@"; do
        set -- "$@" --data-urlencode "$field"
        shift
    done
    # Without --fail, for with it --retry-all-errors would try again what is refused for good. The status is told instead.
    curl --silent --show-error --output /dev/null --max-time 2 --retry 15 --retry-all-errors --retry-max-time 3600 \
        --write-out '%{stderr}%{http_code} %{url_effective}\n' --header "X-Twilio-Signature: $signature" "$@" "$url" &
}

now() { date -u +%Y-%m-%dT%H:%M:%S.999Z; } # never too early: the second is cut off

# The token goes to curl by a pipe, so that it is in no process list.
sid=$(printf 'user = "%s:%s"\n' "$TWILIO_ACCOUNT_SID" "$TWILIO_AUTH_TOKEN" |
    curl --silent --show-error --fail --config - --max-time 10 \
        --data-urlencode "To=$1" --data-urlencode "From=$TWILIO_FROM" \
        --data-urlencode 'Body=Your code is 493017.' --data ProvideFeedback=true \
        "${TWILIO_API_URL:-https://api.twilio.com}/2010-04-01/Accounts/$TWILIO_ACCOUNT_SID/Messages.json" | jq -r .sid)
[ -n "$sid" ] && [ "$sid" != null ] || exit 1 # curl has said why

tell /app/messages "MessageSid=$sid" "To=$1" "From=$TWILIO_FROM" "CreatedAt=$(now)"
# Once the code was entered, in truth; keep the SID with the login.
tell /app/events "MessageSid=$sid" Type=code_entered "OccurredAt=$(now)"
echo "$sid"
wait
