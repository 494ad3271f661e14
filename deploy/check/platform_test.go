package check

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/pelletier/go-toml/v2"
	"sigs.k8s.io/yaml"

	"openai-api-proxy/pkg/config"
)

func read(t *testing.T, path string) []byte {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, path))
	if err != nil {
		t.Fatal(err)
	}
	return text
}

// starts reports what the proxy makes of a platform's variables, with what the operator adds; grace is how long the platform
// waits after its stop signal.
func starts(t *testing.T, env map[string]string, grace time.Duration) *config.Config {
	t.Helper()
	all := map[string]string{"OPENAI_API_KEY": "sk-test-platform-00000001", "ADMIN_TOKEN": "sk-test-platform-admin-0001"}
	maps.Copy(all, env)
	cfg, err := config.Load(config.Source{
		Env:      func(name string) (string, bool) { v, found := all[name]; return v, found },
		ReadFile: func(path string) ([]byte, error) { return nil, fmt.Errorf("%s: %w", path, os.ErrNotExist) },
	})
	if err != nil {
		t.Fatalf("the proxy would not start: %v", err)
	}
	if grace <= cfg.DrainTimeout {
		t.Errorf("a grace of %v for a drain of %v", grace, cfg.DrainTimeout)
	}
	return cfg
}

// The fields are those of Render's blueprint specification that we use.
func TestRender(t *testing.T) {
	var blueprint struct {
		Services []struct {
			Type, Name, Runtime, DockerfilePath, Plan, HealthCheckPath string
			MaxShutdownDelaySeconds                                    int
			EnvVars                                                    []struct {
				Key           string
				Value         *string
				Sync          *bool
				GenerateValue bool
			}
		}
	}
	if err := yaml.UnmarshalStrict(read(t, "render.yaml"), &blueprint); err != nil {
		t.Fatal(err)
	}
	if len(blueprint.Services) != 1 {
		t.Fatalf("%d services", len(blueprint.Services))
	}
	s := blueprint.Services[0]
	if s.Type != "web" || s.Runtime != "docker" || s.HealthCheckPath != "/readyz" || s.MaxShutdownDelaySeconds > 300 {
		t.Errorf("%+v", s)
	}
	read(t, s.DockerfilePath)
	env, asked := map[string]string{}, map[string]bool{}
	for _, v := range s.EnvVars {
		if v.Value != nil {
			env[v.Key] = *v.Value
		} else {
			asked[v.Key] = v.GenerateValue || v.Sync != nil && !*v.Sync
		}
	}
	if !asked["OPENAI_API_KEY"] || !asked["ADMIN_TOKEN"] {
		t.Errorf("Render asks for or makes %v", asked)
	}
	starts(t, env, time.Duration(s.MaxShutdownDelaySeconds)*time.Second)
}

// The fields are those of Fly's configuration that we use.
func TestFly(t *testing.T) {
	var app struct {
		PrimaryRegion string            `toml:"primary_region"`
		KillSignal    string            `toml:"kill_signal"`
		KillTimeout   int               `toml:"kill_timeout"`
		Env           map[string]string `toml:"env"`
		Deploy        struct {
			Strategy string `toml:"strategy"`
		} `toml:"deploy"`
		HTTPService struct {
			InternalPort       int    `toml:"internal_port"`
			ForceHTTPS         bool   `toml:"force_https"`
			AutoStopMachines   string `toml:"auto_stop_machines"`
			AutoStartMachines  bool   `toml:"auto_start_machines"`
			MinMachinesRunning int    `toml:"min_machines_running"`
			Concurrency        struct {
				Type      string `toml:"type"`
				SoftLimit int    `toml:"soft_limit"`
				HardLimit int    `toml:"hard_limit"`
			} `toml:"concurrency"`
			Checks []struct {
				GracePeriod string `toml:"grace_period"`
				Interval    string `toml:"interval"`
				Timeout     string `toml:"timeout"`
				Method      string `toml:"method"`
				Path        string `toml:"path"`
			} `toml:"checks"`
		} `toml:"http_service"`
		VM []struct {
			Size   string `toml:"size"`
			Memory string `toml:"memory"`
		} `toml:"vm"`
	}
	d := toml.NewDecoder(bytes.NewReader(read(t, "deploy/fly.toml"))).DisallowUnknownFields()
	if err := d.Decode(&app); err != nil {
		t.Fatal(err)
	}
	cfg := starts(t, app.Env, time.Duration(app.KillTimeout)*time.Second)
	if want := fmt.Sprintf(":%d", app.HTTPService.InternalPort); cfg.Listen != want || !app.HTTPService.ForceHTTPS ||
		app.KillSignal != "SIGTERM" || app.HTTPService.Checks[0].Path != "/readyz" {
		t.Errorf("listens on %s; %+v", cfg.Listen, app)
	}
}

// The fields are those of Railway's schema that we use.
func TestRailway(t *testing.T) {
	var service struct {
		Schema string `json:"$schema"`
		Build  struct{ Builder, DockerfilePath string }
		Deploy struct {
			HealthcheckPath, RestartPolicyType                                           string
			HealthcheckTimeout, RestartPolicyMaxRetries, OverlapSeconds, DrainingSeconds int
		}
	}
	d := json.NewDecoder(bytes.NewReader(read(t, "deploy/railway.json")))
	d.DisallowUnknownFields()
	if err := d.Decode(&service); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(read(t, service.Build.DockerfilePath)), "\nVOLUME") {
		t.Error("Railway builds no image with a VOLUME")
	}
	if service.Deploy.HealthcheckPath != "/readyz" {
		t.Errorf("%+v", service)
	}
	starts(t, map[string]string{"PORT": "8080"}, time.Duration(service.Deploy.DrainingSeconds)*time.Second)
}

// unit is the systemd unit's settings; those that may be given more than once keep their values.
func unit(t *testing.T) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	for line := range strings.Lines(string(read(t, "deploy/systemd/openai-api-proxy.service"))) {
		if name, value, found := strings.Cut(strings.TrimSpace(line), "="); found && !strings.HasPrefix(name, "#") {
			all[name] = append(all[name], value)
		}
	}
	return all
}

func TestUnit(t *testing.T) {
	all, env := unit(t), map[string]string{}
	for _, v := range all["Environment"] {
		name, value, _ := strings.Cut(v, "=")
		env[name] = value
	}
	grace, err := time.ParseDuration(all["TimeoutStopSec"][0])
	if err != nil {
		t.Fatal(err)
	}
	cfg := starts(t, env, grace)
	if grace <= cfg.DrainTimeout+cfg.DrainDelay || cfg.DataDir != "/var/lib/"+all["StateDirectory"][0] {
		t.Errorf("grace %v, data in %s", grace, cfg.DataDir)
	}
}

// systemd itself finds no mistake in the unit, and little that an intruder could do.
func TestUnitBySystemd(t *testing.T) {
	if runtime.GOOS != "linux" {
		t.Skip("there is no systemd here")
	}
	file := filepath.Join(t.TempDir(), "openai-api-proxy.service")
	text := strings.Replace(string(read(t, "deploy/systemd/openai-api-proxy.service")), "/usr/local/bin/openai-api-proxy serve", "/bin/true", 1)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"verify", file}, {"security", "--offline=yes", "--threshold=15", "--no-pager", file}} {
		if out, err := exec.Command("systemd-analyze", args...).CombinedOutput(); err != nil || args[0] == "verify" && len(out) > 0 {
			t.Errorf("%v: %v\n%s", args, err, out)
		}
	}
}
