package admin

import (
	"net/http"

	"github.com/gin-gonic/gin"
)

// settingsAnswer is the body of GET /api/settings.
type settingsAnswer struct {
	Auth     authAnswer      `json:"auth"`
	Settings []settingAnswer `json:"settings"`
	Fixed    []Fixed         `json:"fixed"`
}

// authAnswer says who may call: whoever holds a key, or clients; permanent means that keys do not come back.
type authAnswer struct {
	Mode      string `json:"mode"`
	Permanent bool   `json:"permanent"`
}

type settingAnswer struct {
	Name        string `json:"name"`
	Value       any    `json:"value"`
	Default     any    `json:"default"`
	Configured  any    `json:"configured"`
	Source      string `json:"source"`
	Description string `json:"description"`
}

// settingTexts say what each setting does, in one sentence.
var settingTexts = map[string]string{
	"strategy":                  "How the next key is chosen: roundrobin, random, weighted, quota or leastbusy.",
	"streamUsage":               "inject asks the upstream for usage on streams and hides it from callers who did not; observe leaves the body alone.",
	"limits.replayBytes":        "Largest request body that is held for another attempt, in bytes. A longer one is sent once.",
	"operations.allow":          "Operations that are opened although unknown or refused by default, such as \"POST /v1/decisions\".",
	"operations.deny":           "Operations that are closed although known; wins over operations.allow.",
	"failover.maxRetries":       "How many attempts may follow ones that the upstream might have carried out.",
	"failover.retryDelay":       "Base of a jittered pause before a second try on the same account, in ms.",
	"failover.failureThreshold": "Failures within 30 s, at least half of a key's attempts in that time, that trip it.",
	"failover.openTimeout":      "First rest of a key that tripped, in ms; it doubles up to failover.maxRest.",
	"failover.maxRest":          "Bound of every rest, in ms, also of those that an upstream asks for.",
	"failover.deadline":         "Time from the start of a request to the start of its last attempt, in ms.",
	"failover.headerTimeout":    "How long the headers of an upstream's answer are waited for, in ms.",
	"probe.interval":            "How long a key may be idle before the upstream is asked about it, in ms; 0: never.",
}

func (a *API) getSettings(c *gin.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	return a.allSettings(c)
}

func (a *API) allSettings(c *gin.Context) error {
	now := a.Catalog.Current()
	body := settingsAnswer{Auth: authAnswer{"clients", now.Permanent}, Settings: []settingAnswer{}, Fixed: []Fixed{}}
	if now.ByKeys {
		body.Auth.Mode = "keys"
	}
	for _, s := range now.List() {
		body.Settings = append(body.Settings, settingAnswer{s.Name, s.Value, s.Default, s.Configured, s.Source, settingTexts[s.Name]})
	}
	if fixed := a.Fixed(); fixed != nil {
		body.Fixed = fixed
	}
	return answer(c, http.StatusOK, body)
}

func (a *API) patchSettings(c *gin.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	patch, _, err := body(c, patchType, jsonType)
	if err != nil {
		return err
	}
	if err := a.Catalog.PatchSettings(c.Request.Context(), a.actor(c), patch); err != nil {
		return err
	}
	return a.allSettings(c)
}
