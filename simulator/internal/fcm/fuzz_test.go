package fcm

import "testing"

// Whatever parses without a problem names exactly one receiver and fits a device.
func FuzzParse(f *testing.F) {
	f.Add([]byte(`{"message":{"token":"t","data":{"notification_id":"n"},"android":{"ttl":"1.5s","priority":"high"}}}`))
	f.Add([]byte(`{"validate_only":true,"message":{"topic":"x","condition":"y"}}`))
	f.Add([]byte(`{"message":null}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, body []byte) {
		m, problem := parse(body)
		if problem != "" {
			return
		}
		targets := 0
		for _, s := range []string{m.Message.Token, m.Message.Topic, m.Message.Condition} {
			if s != "" {
				targets++
			}
		}
		if targets != 1 || m.Message.size() > maxPayload {
			t.Errorf("accepted %+v", m)
		}
	})
}
