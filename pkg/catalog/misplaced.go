package catalog

import (
	"strings"

	"openai-api-proxy/pkg/config"
	"openai-api-proxy/pkg/proxy"
)

// shortSecret is a secret that might be found in ordinary words.
const shortSecret = 8

// misplaced refuses a key one of whose other fields holds a secret, its own or another that is known: those fields are shown
// and logged. Somebody pasted in a hurry.
func (s *Snapshot) misplaced(k *proxy.Key) error {
	for _, f := range []struct {
		name  string
		texts []string
	}{
		{"id", []string{k.ID}}, {"account", []string{k.Account}}, {"pool", []string{k.Pool}}, {"note", strings.Fields(k.Note)},
		{"tags", k.Tags}, {"models", k.Models}, {"baseUrl", []string{k.Endpoint}}, {"organization", []string{k.Organization}},
		{"project", []string{k.Project}},
	} {
		if s.holds(f.texts, k.Secret) {
			return misplacedIn(f.name)
		}
	}
	return nil
}

// misplacedOf is misplaced for clients.
func (s *Snapshot) misplacedOf(c *config.Client) error {
	for _, f := range []struct {
		name  string
		texts []string
	}{{"id", []string{c.ID}}, {"pool", []string{c.Pool}}, {"group", []string{c.Group}}, {"models", c.Models}} {
		if s.holds(f.texts, c.Token) {
			return misplacedIn(f.name)
		}
	}
	return nil
}

func misplacedIn(field string) error {
	return &proxy.Fault{Kind: proxy.InvalidRequest, Param: field, Public: field + " holds a secret, which would be shown"}
}

// holds reports whether one of the texts has the secret in it, or is one that somebody holds.
func (s *Snapshot) holds(texts []string, own proxy.Secret) bool {
	for _, text := range texts {
		if len(text) < shortSecret {
			continue
		}
		if len(own.Reveal()) >= shortSecret && strings.Contains(text, own.Reveal()) || s.Holder(proxy.NewSecret(text).Hash()) != "" {
			return true
		}
	}
	return false
}
