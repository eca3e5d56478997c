// Sends a login code through Heardback and reports that it was entered. Try it: go run go.go +15558675310
package main

import (
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"
)

var base, key = os.Getenv("HEARDBACK_PUBLIC_URL"), os.Getenv("HEARDBACK_APP_KEYS")
var final = []int{400, 409, 413, 414, 415}

// A job for your queue. After an error and after any status but a 2xx the queue runs it again. The time is in UTC.
// The public URL and the fields are signed, sorted by name.
func report(sid, at string) (*http.Response, error) {
	mac := hmac.New(sha1.New, []byte(key))
	fmt.Fprint(mac, base+"/app/events", "MessageSid", sid, "OccurredAt", at, "Type", "code_entered")
	request, _ := http.NewRequest("POST", base+"/app/events", strings.NewReader("MessageSid="+sid+"&OccurredAt="+at+"&Type=code_entered"))
	request.Header = http.Header{"Content-Type": {"application/x-www-form-urlencoded"}, "X-Twilio-Signature": {base64.StdEncoding.EncodeToString(mac.Sum(nil))}}
	return (&http.Client{Timeout: 2 * time.Second}).Do(request)
}

func main() {
	account, token := os.Getenv("TWILIO_ACCOUNT_SID"), os.Getenv("TWILIO_AUTH_TOKEN")
	messages := base + "/2010-04-01/Accounts/" + account + "/Messages.json" // Heardback in place of https://api.twilio.com
	form := url.Values{"To": {os.Args[1]}, "From": {os.Getenv("TWILIO_FROM")}, "Body": {"Your code is 493017."}}
	request, _ := http.NewRequest("POST", messages, strings.NewReader(form.Encode()))
	request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	request.SetBasicAuth(account, token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil || answer.StatusCode != 201 {
		log.Fatal("no message was created")
	}
	var message struct{ Sid string }
	json.NewDecoder(answer.Body).Decode(&message)
	fmt.Println(message.Sid) // store it with the login

	// When the code was entered. Without a queue: in a goroutine, for an hour.
	at := time.Now().UTC().Format(time.RFC3339Nano)
	for wait := 5 * time.Second; wait < time.Hour; wait *= 2 {
		answer, err := report(message.Sid, at)
		if err != nil {
			log.Print(err)
		} else if log.Print(answer.Status); answer.StatusCode < 300 || slices.Contains(final, answer.StatusCode) {
			return // accepted, or refused for good
		}
		time.Sleep(wait)
	}
}
