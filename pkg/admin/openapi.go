package admin

import (
	_ "embed"
	"net/http"
	"sync"

	"github.com/gin-gonic/gin"
	"github.com/goccy/go-yaml"
)

//go:embed openapi.yaml
var openapiSource []byte

// document reads the document when it is asked for first.
func document() func() ([]byte, error) {
	return sync.OnceValues(func() ([]byte, error) { return yaml.YAMLToJSON(openapiSource) })
}

func (a *API) openapi(c *gin.Context) error {
	if err := noQuery(c); err != nil {
		return err
	}
	text, err := a.spec()
	if err != nil {
		return err
	}
	c.Data(http.StatusOK, jsonType, text)
	return nil
}
