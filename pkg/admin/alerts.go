package admin

import (
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"

	"openai-api-proxy/pkg/proxy"
	"openai-api-proxy/pkg/state"
)

// Alerting is what operators are told without asking.
type Alerting struct {
	Shares  []float64 `json:"shares"`  // of a quota
	Webhook bool      `json:"webhook"` // one is set
}

// listAlerts lists the latest alerts, newest first.
func (a *API) listAlerts(c *gin.Context) error {
	q := queryOf(c)
	limit := int(q.number("limit", 50, 1, state.AlertsKept))
	if err := q.end(); err != nil {
		return err
	}
	found, err := a.Alerts(c.Request.Context(), "", limit)
	if err != nil {
		return err
	}
	all := make([]json.RawMessage, len(found))
	for i, one := range found {
		all[i] = one.Text
	}
	c.JSON(http.StatusOK, struct {
		Alerting
		Data []json.RawMessage `json:"data"`
	}{a.Alerting(), all})
	return nil
}

// testWebhook calls the webhook, once. A webhook that fails is an answer too.
func (a *API) testWebhook(c *gin.Context) error {
	if err := queryOf(c).end(); err != nil {
		return err
	}
	begin := time.Now()
	err := a.TryWebhook(c.Request.Context())
	var fault *proxy.Fault
	if errors.As(err, &fault) {
		return fault
	}
	answer := struct {
		Delivered bool    `json:"delivered"`
		TookMs    float64 `json:"tookMs"`
		Error     string  `json:"error,omitempty"`
	}{Delivered: err == nil, TookMs: ms(time.Since(begin))}
	if err != nil {
		answer.Error = err.Error()
	}
	c.JSON(http.StatusOK, answer)
	return nil
}
