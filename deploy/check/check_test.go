// Package check reads the compose and Kubernetes files as their programs will: with the compose library, with kustomize,
// and strictly into the types of the Kubernetes API.
package check

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
	"github.com/compose-spec/compose-go/v2/types"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/api/resmap"
	"sigs.k8s.io/kustomize/kyaml/filesys"
	"sigs.k8s.io/yaml"

	"openai-api-proxy/pkg/config"
)

const root = "../.."

func compose(t *testing.T, env ...string) *types.Project {
	t.Helper()
	options, err := cli.NewProjectOptions([]string{filepath.Join(root, "docker-compose.yml")}, cli.WithEnv(env),
		cli.WithProfiles([]string{"observability"}), cli.WithResolvedPaths(true))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	return project
}

func TestCompose(t *testing.T) {
	p := compose(t)
	want := []string{"caddy", "grafana", "mock", "prometheus", "proxy", "redis"}
	if names := slices.Sorted(maps.Keys(p.Services)); !slices.Equal(names, want) {
		t.Fatalf("services %v", names)
	}
	proxy, redis := p.Services["proxy"], p.Services["redis"]
	if proxy.Deploy == nil || *proxy.Deploy.Replicas != 3 || !proxy.ReadOnly || proxy.User != "65532:65532" || proxy.ContainerName != "" || len(proxy.Ports) > 0 {
		t.Error("three replicas, read-only, without root, and nothing that hinders --scale")
	}
	grace, drain := time.Duration(*proxy.StopGracePeriod), *proxy.Environment["DRAIN_TIMEOUT"]
	if d, err := time.ParseDuration(drain); err != nil || grace <= d+5*time.Second { // DRAIN_DELAY
		t.Errorf("a grace of %v for a drain of %s", grace, drain)
	}
	command := strings.Join(redis.Command, " ")
	for _, option := range []string{"--requirepass", "--appendonly yes", "--maxmemory-policy noeviction"} {
		if !strings.Contains(command, option) {
			t.Errorf("redis runs without %s: %s", option, command)
		}
	}
	if redis.HealthCheck == nil || len(redis.Ports) > 0 {
		t.Error("redis needs a health check and no port outside")
	}
	for name, s := range p.Services {
		for _, v := range s.Volumes {
			if v.Type != types.VolumeTypeBind {
				continue
			}
			if info, err := os.Stat(v.Source); err != nil || info.IsDir() {
				t.Errorf("%s mounts %s: %v", name, v.Source, err)
			}
		}
	}
}

// The proxy understands what compose gives it.
func TestComposeConfiguration(t *testing.T) {
	env := compose(t).Services["proxy"].Environment
	file, err := os.ReadFile(filepath.Join(root, "deploy/compose/demo.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(config.Source{
		Env: func(name string) (string, bool) {
			if v, found := env[name]; found && v != nil {
				return *v, true
			}
			return "", false
		},
		ReadFile: func(path string) ([]byte, error) { return file, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(cfg.Keys) != 3 || len(cfg.Clients) != 1 || !cfg.RequireRedis || cfg.RedisURL.IsZero() {
		t.Errorf("%d keys, %d clients, redis %v", len(cfg.Keys), len(cfg.Clients), cfg.RedisURL)
	}
}

func render(t *testing.T, overlay string) resmap.ResMap {
	t.Helper()
	m, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), filepath.Join(root, "k8s", overlay))
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// typed is what the API server reads a kind into; nil for one that nobody expects.
func typed(kind string) any {
	switch kind {
	case "Deployment":
		return new(appsv1.Deployment)
	case "StatefulSet":
		return new(appsv1.StatefulSet)
	case "Service":
		return new(corev1.Service)
	case "ConfigMap":
		return new(corev1.ConfigMap)
	case "Secret":
		return new(corev1.Secret)
	case "ServiceAccount":
		return new(corev1.ServiceAccount)
	case "Namespace":
		return new(corev1.Namespace)
	case "Ingress":
		return new(networkingv1.Ingress)
	case "NetworkPolicy":
		return new(networkingv1.NetworkPolicy)
	case "HorizontalPodAutoscaler":
		return new(autoscalingv2.HorizontalPodAutoscaler)
	case "PodDisruptionBudget":
		return new(policyv1.PodDisruptionBudget)
	case "ServiceMonitor":
		return new(serviceMonitor)
	default:
		return nil
	}
}

// decoded are the rendered objects by kind and name, read strictly: a misspelt field is an error.
func decoded(t *testing.T, overlay string) map[string]any {
	t.Helper()
	all := map[string]any{}
	for _, r := range render(t, overlay).Resources() {
		text, err := r.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		if object := strictly(t, r.GetKind(), r.GetName(), text); object != nil {
			all[r.GetKind()+"/"+r.GetName()] = object
		}
	}
	return all
}

// strictly reads one object; nil: it is none that anybody expects.
func strictly(t *testing.T, kind, name string, text []byte) any {
	t.Helper()
	object := typed(kind)
	if object == nil {
		t.Errorf("nobody expects a %s", kind)
		return nil
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(object); err != nil {
		t.Errorf("%s %s: %v", kind, name, err)
	}
	return object
}

func TestManifests(t *testing.T) {
	for _, overlay := range []string{"base", "overlays/dev", "overlays/prod"} {
		t.Run(overlay, func(t *testing.T) {
			all := decoded(t, overlay)
			checkPods(t, all)
			checkDrain(t, all)
		})
	}
}

func checkPods(t *testing.T, all map[string]any) {
	t.Helper()
	for name, object := range all {
		switch o := object.(type) {
		case *appsv1.Deployment:
			checkPod(t, name, o.Spec.Template.Spec)
			checkSelector(t, name, o.Spec.Selector.MatchLabels, o.Spec.Template.Labels)
		case *appsv1.StatefulSet:
			checkPod(t, name, o.Spec.Template.Spec)
			checkSelector(t, name, o.Spec.Selector.MatchLabels, o.Spec.Template.Labels)
		}
	}
}

// checkPod holds every pod to the restricted profile.
func checkPod(t *testing.T, name string, pod corev1.PodSpec) {
	t.Helper()
	if s := pod.SecurityContext; s == nil || s.RunAsNonRoot == nil || !*s.RunAsNonRoot || s.SeccompProfile == nil {
		t.Errorf("%s may run as root, or without a seccomp profile", name)
	}
	if pod.AutomountServiceAccountToken == nil || *pod.AutomountServiceAccountToken {
		t.Errorf("%s gets a token of the API server", name)
	}
	for _, c := range pod.Containers {
		s := c.SecurityContext
		if s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem || s.AllowPrivilegeEscalation == nil ||
			*s.AllowPrivilegeEscalation || s.Capabilities == nil || !slices.Contains(s.Capabilities.Drop, "ALL") {
			t.Errorf("%s: container %s is not restricted", name, c.Name)
		}
		if c.Resources.Requests.Cpu().IsZero() || c.Resources.Limits.Memory().IsZero() {
			t.Errorf("%s: container %s has no requests or limits", name, c.Name)
		}
		if c.ReadinessProbe == nil {
			t.Errorf("%s: container %s has no readiness probe", name, c.Name)
		}
	}
}

func checkSelector(t *testing.T, name string, selector, labels map[string]string) {
	t.Helper()
	for k, v := range selector {
		if labels[k] != v {
			t.Errorf("%s selects %s=%s, its pods have %q", name, k, v, labels[k])
		}
	}
}

// checkDrain compares the drain with the time that the pod has for it, and the configuration with what the proxy reads.
func checkDrain(t *testing.T, all map[string]any) {
	t.Helper()
	settings := all["ConfigMap/openai-api-proxy"].(*corev1.ConfigMap).Data
	pod := all["Deployment/openai-api-proxy"].(*appsv1.Deployment).Spec.Template.Spec
	drain, err := time.ParseDuration(settings["DRAIN_TIMEOUT"])
	if err != nil {
		t.Fatal(err)
	}
	pause := time.Duration(pod.Containers[0].Lifecycle.PreStop.Sleep.Seconds) * time.Second
	checkStart(t, settings, pod, readSecret(t, all), "", pause+drain)
}

// checkStart holds the grace period of a pod against the time it needs, and starts the proxy's configuration as the pod would.
func checkStart(t *testing.T, settings map[string]string, pod corev1.PodSpec, secret map[string]string, file string, needs time.Duration) {
	t.Helper()
	files := map[string]string{"/etc/oap/config.yaml": file}
	env := map[string]string{}
	maps.Copy(env, settings)
	for _, e := range pod.Containers[0].Env {
		if e.ValueFrom != nil {
			env[e.Name] = secret[e.ValueFrom.SecretKeyRef.Key]
			continue
		}
		env[e.Name] = e.Value
		if strings.HasPrefix(e.Value, "/run/secrets/") {
			files[e.Value] = secret[filepath.Base(e.Value)]
		}
	}
	cfg, err := config.Load(config.Source{
		Env: func(name string) (string, bool) { v, found := env[name]; return v, found },
		ReadFile: func(path string) ([]byte, error) {
			if text := files[path]; text != "" {
				return []byte(text), nil
			}
			return nil, fmt.Errorf("%s: %w", path, os.ErrNotExist)
		},
	})
	if err != nil {
		t.Errorf("the proxy would not start: %v", err)
		return
	}
	if grace := time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second; grace <= needs+cfg.DrainDelay {
		t.Errorf("a grace of %v for a pause and a drain of %v and a delay of %v", grace, needs, cfg.DrainDelay)
	}
}

// readSecret is the overlay's Secret, or the template where there is none.
func readSecret(t *testing.T, all map[string]any) map[string]string {
	t.Helper()
	if s, found := all["Secret/openai-api-proxy"].(*corev1.Secret); found {
		return s.StringData
	}
	text, err := os.ReadFile(filepath.Join(root, "k8s/base/secret.template.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var s corev1.Secret
	if err := yaml.UnmarshalStrict(text, &s); err != nil {
		t.Fatal(err)
	}
	return s.StringData
}
