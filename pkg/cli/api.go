package cli

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	// answerWithin bounds an ordinary call; what takes longer says so.
	answerWithin = time.Minute
	// mostAnswer bounds an answer that is held in memory.
	mostAnswer = 256 << 20
)

// api is the management API of one proxy.
type api struct {
	base, host string
	token      string
	http       *http.Client
}

// apiError is a refusal in the words of the API.
type apiError struct {
	Status  int
	Code    string `json:"code"`
	Message string `json:"message"`
}

func (e *apiError) Error() string {
	switch {
	case e.Code == "unknown_endpoint":
		return e.Message + "; does this address serve the management API? with ADMIN_ADDR it is another one than that of callers"
	case e.Status == http.StatusUnauthorized:
		return "the admin token is not accepted: " + e.Message
	default:
		return e.Message
	}
}

// refused reports whether the API answered with the status.
func refused(err error, status int) bool {
	var e *apiError
	return errors.As(err, &e) && e.Status == status
}

// payload is a body with its type; none: nil.
type payload struct {
	kind string
	text []byte
}

func asJSON(v any) *payload {
	text, err := json.Marshal(v)
	if err != nil { // only what was made here is sent
		panic("cli: " + err.Error())
	}
	return &payload{"application/json", text}
}

// get asks and reads the answer into v, unless that is nil. It returns the answer as it came.
func (a *api) get(ctx context.Context, path string, q url.Values, v any) ([]byte, error) {
	return a.call(ctx, "GET", path, q, nil, v)
}

// call sends one request; see get. Errors are one line each: *apiError, or why there was no answer.
func (a *api) call(ctx context.Context, method, path string, q url.Values, body *payload, v any) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, answerWithin)
	defer cancel()
	return a.patiently(ctx, method, path, q, body, v)
}

// patiently is call for what may take longer than a minute.
func (a *api) patiently(ctx context.Context, method, path string, q url.Values, body *payload, v any) ([]byte, error) {
	resp, err := a.send(ctx, method, path, q, body)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, mostAnswer))
	if err != nil {
		return nil, fmt.Errorf("%s: the answer broke off: %w", a.base+path, err)
	}
	if v != nil {
		if err := json.Unmarshal(text, v); err != nil {
			return nil, fmt.Errorf("%s answers with something else than the management API does: %w", a.base+path, err)
		}
	}
	return text, nil
}

// send sends one request and returns its answer, if it is a good one.
func (a *api) send(ctx context.Context, method, path string, q url.Values, body *payload) (*http.Response, error) {
	address := a.base + path
	if len(q) > 0 {
		address += "?" + q.Encode()
	}
	var from io.Reader
	if body != nil {
		from = bytes.NewReader(body.text)
	}
	req, err := http.NewRequestWithContext(ctx, method, address, from)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+a.token)
	if body != nil {
		req.Header.Set("Content-Type", body.kind)
	}
	resp, err := a.http.Do(req)
	if err != nil {
		var failed *url.Error
		if errors.As(err, &failed) {
			err = failed.Err
		}
		return nil, fmt.Errorf("%s cannot be reached: %w", a.base+path, err)
	}
	if resp.StatusCode/100 != 2 {
		defer resp.Body.Close()
		return nil, a.refusal(resp, path)
	}
	return resp, nil
}

// refusal reads what a refusal says.
func (a *api) refusal(resp *http.Response, path string) error {
	var body struct{ Error *apiError }
	text, _ := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	if json.Unmarshal(text, &body) != nil || body.Error == nil || body.Error.Message == "" {
		return fmt.Errorf("%s answers %s, and not as the management API does", a.base+path, resp.Status)
	}
	body.Error.Status = resp.StatusCode
	body.Error.Message = strings.ReplaceAll(body.Error.Message, "\n", "; ") // mistakes come one in a line
	return body.Error
}

// fresh is the same API through a new connection for every call, so that a load balancer spreads them.
func (a *api) fresh() *api {
	other := *a
	transport := a.http.Transport.(*http.Transport).Clone()
	transport.DisableKeepAlives = true
	other.http = &http.Client{Transport: transport, CheckRedirect: unfollowed}
	return &other
}

// item is the path of one key or client.
func item(kind, id string, more ...string) string {
	return "/api/" + kind + "/" + strings.Join(append([]string{url.PathEscape(id)}, more...), "/")
}

// query makes parameters of pairs; those that are empty are left out.
func query(pairs ...string) url.Values {
	q := url.Values{}
	for i := 0; i+1 < len(pairs); i += 2 {
		if pairs[i+1] != "" {
			q.Set(pairs[i], pairs[i+1])
		}
	}
	return q
}
