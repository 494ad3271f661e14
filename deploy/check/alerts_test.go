package check

import (
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// The alerts are rules as Prometheus itself reads them, and each tells whom to wake and what to do.
func TestAlerts(t *testing.T) {
	groups, errs := rulefmt.ParseFile(filepath.Join(root, "deploy/observability/alerts.yml"), false, model.UTF8Validation,
		parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler))
	for _, err := range errs {
		t.Error(err)
	}
	if groups == nil || len(groups.Groups) != 1 || len(groups.Groups[0].Rules) < 10 {
		t.Fatal("no alerts")
	}
	names, known := map[string]bool{}, documented(t)
	for _, r := range groups.Groups[0].Rules {
		if names[r.Alert] {
			t.Errorf("%s is there twice", r.Alert)
		}
		names[r.Alert] = true
		if s := r.Labels["severity"]; s != "page" && s != "ticket" {
			t.Errorf("%s: severity %q", r.Alert, s)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s says nothing", r.Alert)
		}
		checkQuery(t, known, r.Alert, r.Expr)
	}
}

// Every query of the dashboard is one that Prometheus understands, of metrics and labels that there are.
func TestDashboard(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "deploy/observability/grafana/openai-api-proxy.json"))
	if err != nil {
		t.Fatal(err)
	}
	var d struct {
		Panels []struct {
			ID      int
			Title   string
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal(text, &d); err != nil || len(d.Panels) < 10 {
		t.Fatalf("%d panels, %v", len(d.Panels), err)
	}
	ids, known := map[int]bool{}, documented(t)
	for _, p := range d.Panels {
		if ids[p.ID] {
			t.Errorf("two panels are number %d", p.ID)
		}
		ids[p.ID] = true
		for _, q := range p.Targets {
			checkQuery(t, known, p.Title, q.Expr)
		}
	}
}

var (
	row    = regexp.MustCompile("(?m)^\\| (`oap_[^|]*) \\| (?:([^|]*) )?\\|")
	quoted = regexp.MustCompile("`(oap_[a-z_]+)`")
)

// documented are the labels of every metric in the README's table: one list for each metric of a row, or one for all.
func documented(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for _, m := range row.FindAllStringSubmatch(string(read(t, "README.md")), -1) {
		names, lists := quoted.FindAllStringSubmatch(m[1], -1), strings.Split(m[2], ";")
		for i, name := range names {
			list := lists[0]
			if len(lists) == len(names) {
				list = lists[i]
			}
			all[name[1]] = strings.FieldsFunc(list, func(r rune) bool { return r == ',' || r == ' ' })
		}
	}
	if len(all) < 30 {
		t.Fatalf("the table has %d metrics", len(all))
	}
	return all
}

// checkQuery parses a query as Prometheus does and looks whether each metric has the labels that are asked of it.
func checkQuery(t *testing.T, known map[string][]string, where, query string) {
	t.Helper()
	expr, err := parser.NewParser(parser.Options{}).ParseExpr(query)
	if err != nil {
		t.Errorf("%s: %v", where, err)
		return
	}
	parser.Inspect(expr, func(node parser.Node, path []parser.Node) error {
		s, is := node.(*parser.VectorSelector)
		if !is || !strings.HasPrefix(s.Name, "oap_") {
			return nil
		}
		name, bucket := strings.CutSuffix(s.Name, "_bucket")
		has, found := known[name]
		if !found {
			t.Errorf("%s: there is no %s", where, name)
		}
		for _, label := range asked(s, path) {
			if !slices.Contains(has, label) && !(bucket && label == "le") && label != "instance" && label != labels.MetricName {
				t.Errorf("%s: %s has no label %s, but %v", where, name, label, has)
			}
		}
		return nil
	})
}

// asked are the labels that a query asks of a metric: in braces, and to sum by.
func asked(s *parser.VectorSelector, path []parser.Node) (all []string) {
	for _, m := range s.LabelMatchers {
		all = append(all, m.Name)
	}
	for _, outer := range path {
		if a, is := outer.(*parser.AggregateExpr); is && !a.Without {
			all = append(all, a.Grouping...)
		}
	}
	return all
}
