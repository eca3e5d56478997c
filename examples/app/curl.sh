#!/bin/sh
# Sends a login code and reports it to Heardback, with curl and openssl only. Try it: sh curl.sh +15558675310
# While openssl runs, the key is visible in the process list.
set -eu

# report PATH NAME=VALUE…: posts in the background, and repeats for an hour until the answer is final.
report() {
    url=${HEARDBACK_PUBLIC_URL%%,*}$1 # the public URL, because it is signed
    shift
    # The URL, then each name and value, sorted by name, without separators.
    text=$url$(printf '%s\n' "$@" | LC_ALL=C sort | sed 's/=//' | tr -d '\n')
    signature=$(printf %s "$text" | openssl dgst -sha1 -hmac "${HEARDBACK_APP_KEYS%%,*}" -binary | base64)
    for field in "$@"; do
        set -- "$@" --data-urlencode "$field"
        shift
    done
    for wait in 5 10 20 40 80 160 320 640 1280 2560 0; do
        status=$(curl --silent --show-error --output /dev/null --max-time 2 --write-out '%{http_code}' \
            --header "X-Twilio-Signature: $signature" "$@" "$url") || true
        echo "$status $url" >&2
        case $status in 2?? | 400 | 409 | 413 | 415) break ;; esac # accepted, or refused for good
        sleep "$wait"
    done &
}

now() { date -u +%Y-%m-%dT%H:%M:%S.999Z; } # the end of the second, so that it is never too early

# curl reads the token from a pipe, so that no process list shows it.
sid=$(printf 'user = "%s:%s"\n' "$TWILIO_ACCOUNT_SID" "$TWILIO_AUTH_TOKEN" |
    curl --silent --show-error --fail --config - --max-time 10 \
        --data-urlencode "To=$1" --data-urlencode "From=$TWILIO_FROM" \
        --data-urlencode 'Body=Your code is 493017.' --data ProvideFeedback=true \
        "${HEARDBACK_UPSTREAM_URL:-https://api.twilio.com}/2010-04-01/Accounts/$TWILIO_ACCOUNT_SID/Messages.json" | jq -r .sid)
[ -n "$sid" ] && [ "$sid" != null ] || exit 1 # curl has printed the reason

report /app/messages "MessageSid=$sid" "To=$1" "From=$TWILIO_FROM" "CreatedAt=$(now)"
# In your app: when the code was entered. Store the SID with the login.
report /app/events "MessageSid=$sid" Type=code_entered "OccurredAt=$(now)"
echo "$sid" && wait
