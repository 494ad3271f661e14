package check

import (
	"encoding/json"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"helm.sh/helm/v3/pkg/chart/loader"
	"helm.sh/helm/v3/pkg/chartutil"
	"helm.sh/helm/v3/pkg/engine"
	appsv1 "k8s.io/api/apps/v1"
	autoscalingv2 "k8s.io/api/autoscaling/v2"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	"sigs.k8s.io/yaml"
)

const chartDir = root + "/deploy/helm/openai-api-proxy"

// serviceMonitor is what we use of the Prometheus operator's kind, which is in no library of Kubernetes itself.
type serviceMonitor struct {
	APIVersion string         `json:"apiVersion"`
	Kind       string         `json:"kind"`
	Metadata   map[string]any `json:"metadata"`
	Spec       struct {
		Selector struct {
			MatchLabels map[string]string `json:"matchLabels"`
		} `json:"selector"`
		Endpoints []struct {
			Port     string `json:"port"`
			Path     string `json:"path"`
			Interval string `json:"interval"`
		} `json:"endpoints"`
	} `json:"spec"`
}

// made-up secrets
const chartSecrets = `
secret:
  values:
    OPENAI_API_KEYS: '[{"id":"main","key":"sk-test-helm-00000001"}]'
    CLIENT_TOKENS: '[{"id":"team-a","token":"sk-test-helm-client-00000001","rpm":600}]'
    ADMIN_TOKEN: sk-test-helm-admin-000000000001
    REDIS_PASSWORD: p/a:s@s +1
    OTEL_EXPORTER_OTLP_HEADERS: x-key=sk-test-helm-traces-0000001
`

// chart renders the chart with values, as `helm install NAME` would.
func chart(t *testing.T, release, values string) (map[string]any, error) {
	t.Helper()
	c, err := loader.Load(chartDir)
	if err != nil {
		t.Fatal(err)
	}
	given, err := chartutil.ReadValues([]byte(values))
	if err != nil {
		t.Fatal(err)
	}
	all, err := chartutil.ToRenderValues(c, given, chartutil.ReleaseOptions{Name: release, Namespace: "apps", IsInstall: true}, nil)
	if err != nil {
		return nil, err
	}
	files, err := engine.Render(c, all)
	if err != nil {
		return nil, err
	}
	objects := map[string]any{}
	for path, text := range files {
		if filepath.Ext(path) == ".yaml" {
			for _, document := range strings.Split(text, "\n---\n") {
				readObject(t, path, document, objects)
			}
		}
	}
	return objects, nil
}

// readObject reads one document of a rendered file; one that has nothing but comments is none.
func readObject(t *testing.T, path, document string, objects map[string]any) {
	t.Helper()
	text, err := yaml.YAMLToJSONStrict([]byte(document))
	if err != nil {
		t.Fatalf("%s: %v\n%s", path, err, document)
	}
	var head struct {
		Kind     string
		Metadata struct{ Name string }
	}
	if json.Unmarshal(text, &head); head.Kind == "" {
		return
	}
	if object := strictly(t, head.Kind, head.Metadata.Name, text); object != nil {
		objects[head.Kind+"/"+head.Metadata.Name] = object
	}
}

func TestChart(t *testing.T) {
	everything := chartSecrets + `
autoscaling: {enabled: true}
ingress: {enabled: true, className: nginx, tlsSecret: cert}
serviceMonitor: {enabled: true, labels: {release: prometheus}}
podAnnotations: {example.com/team: a}
nodeSelector: {kubernetes.io/os: linux}
tolerations: [{key: dedicated, operator: Exists}]
imagePullSecrets: [{name: regcred}]
config: {strategy: weighted, failover: {maxRetries: 2}}
networkPolicy: {egress: [{ports: [{port: 8443}]}]}
`
	for name, values := range map[string]string{"plain": chartSecrets, "everything": everything} {
		t.Run(name, func(t *testing.T) {
			all, err := chart(t, "oap", values)
			if err != nil {
				t.Fatal(err)
			}
			checkPods(t, all)
			pod := all["Deployment/oap-openai-api-proxy"].(*appsv1.Deployment).Spec.Template.Spec
			secret := all["Secret/oap-openai-api-proxy"].(*corev1.Secret).StringData
			if want := "redis://:p%2Fa%3As%40s%20%2B1@oap-openai-api-proxy-redis:6379/0"; secret["REDIS_URL"] != want {
				t.Errorf("REDIS_URL is %s, want %s", secret["REDIS_URL"], want)
			}
			if secret["OTEL_EXPORTER_OTLP_HEADERS"] != "x-key=sk-test-helm-traces-0000001" || secret["ALERT_WEBHOOK_URL"] != "" {
				t.Errorf("optional secrets: %v", secret)
			}
			file := ""
			if m, found := all["ConfigMap/oap-openai-api-proxy-file"].(*corev1.ConfigMap); found {
				file = m.Data["config.yaml"]
			}
			checkStart(t, all["ConfigMap/oap-openai-api-proxy"].(*corev1.ConfigMap).Data, pod, secret, file, 610*time.Second)
			checkServices(t, all)
		})
	}
	all, err := chart(t, "oap", everything)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]func(any) bool{
		"HorizontalPodAutoscaler/oap-openai-api-proxy": func(o any) bool {
			return o.(*autoscalingv2.HorizontalPodAutoscaler).Spec.ScaleTargetRef.Name == "oap-openai-api-proxy"
		},
		"Ingress/oap-openai-api-proxy": func(o any) bool { return o.(*networkingv1.Ingress).Spec.TLS[0].SecretName == "cert" },
		"ServiceMonitor/oap-openai-api-proxy": func(o any) bool {
			return o.(*serviceMonitor).Spec.Endpoints[0].Port == "operators"
		},
		"Deployment/oap-openai-api-proxy": func(o any) bool { return o.(*appsv1.Deployment).Spec.Replicas == nil },
	} {
		if o, found := all[name]; !found || !want(o) {
			t.Errorf("%s is missing or wrong: %+v", name, o)
		}
	}
}

// checkServices looks whether each Service, and the ServiceMonitor, finds what it selects.
func checkServices(t *testing.T, all map[string]any) {
	t.Helper()
	for name, object := range all {
		s, is := object.(*corev1.Service)
		if !is {
			continue
		}
		found := false
		for _, o := range all {
			switch pods := o.(type) {
			case *appsv1.Deployment:
				found = found || within(s.Spec.Selector, pods.Spec.Template.Labels)
			case *appsv1.StatefulSet:
				found = found || within(s.Spec.Selector, pods.Spec.Template.Labels)
			}
		}
		if !found {
			t.Errorf("%s selects nothing", name)
		}
	}
	if m, is := all["ServiceMonitor/oap-openai-api-proxy"].(*serviceMonitor); is {
		if s := all["Service/oap-openai-api-proxy-operators"].(*corev1.Service); !within(m.Spec.Selector.MatchLabels, s.Labels) {
			t.Error("the ServiceMonitor selects nothing")
		}
	}
}

func within(selector, labels map[string]string) bool {
	for k, v := range selector {
		if labels[k] != v {
			return false
		}
	}
	return true
}

// An existing Secret and a Redis of one's own: the chart makes neither.
func TestChartWithWhatIsThere(t *testing.T) {
	all, err := chart(t, "openai-api-proxy", "secret: {existing: mine}\nredis: {enabled: false}\nnetworkPolicy: {enabled: false}\n")
	if err != nil {
		t.Fatal(err)
	}
	for name := range all {
		if strings.HasPrefix(name, "Secret/") || strings.HasPrefix(name, "StatefulSet/") || strings.HasPrefix(name, "NetworkPolicy/") {
			t.Errorf("it makes a %s", name)
		}
	}
	pod := all["Deployment/openai-api-proxy"].(*appsv1.Deployment).Spec.Template.Spec
	if !slices.ContainsFunc(pod.Volumes, func(v corev1.Volume) bool { return v.Secret != nil && v.Secret.SecretName == "mine" }) {
		t.Error("the pod does not mount the Secret")
	}
}

// What is misspelt, missing or in the wrong place is refused, and said by name.
func TestChartRefuses(t *testing.T) {
	for values, want := range map[string]string{
		"":                                     "REDIS_PASSWORD",
		chartSecrets + "replica: 3":            "replica",
		chartSecrets + "env: {ADMIN_TOKEN: x}": "ADMIN_TOKEN",
		chartSecrets + "env: {ALERT_WEBHOOK_URL: x}":                      "ALERT_WEBHOOK_URL",
		chartSecrets + "config: {keys: []}":                               "keys",
		"secret: {values: {OPENAI_API_KEYS: x}}\nredis: {enabled: false}": "REDIS_URL",
	} {
		if _, err := chart(t, "oap", values); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want one that names %s", values, err, want)
		}
	}
}
