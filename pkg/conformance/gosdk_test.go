package conformance

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"
	"github.com/openai/openai-go/v3/packages/param"
	"github.com/openai/openai-go/v3/responses"
	"github.com/openai/openai-go/v3/shared"
)

func hello(model string) openai.ChatCompletionNewParams {
	return openai.ChatCompletionNewParams{Model: model, Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Hello")}}
}

func TestGoSDK(t *testing.T) {
	r := start(t)
	c := r.client()
	ctx := t.Context()
	t.Run("chat", func(t *testing.T) {
		answer, err := c.Chat.Completions.New(ctx, hello("gpt-4o-mini"))
		if err != nil || answer.Choices[0].Message.Content == "" || answer.Usage.TotalTokens == 0 {
			t.Errorf("%+v, %v", answer, err)
		}
	})
	t.Run("stream", func(t *testing.T) {
		stream := c.Chat.Completions.NewStreaming(ctx, hello("gpt-4o-mini"))
		var all openai.ChatCompletionAccumulator
		for stream.Next() {
			if strings.Contains(stream.Current().RawJSON(), `"usage"`) {
				t.Errorf("a chunk with usage that was not asked for: %s", stream.Current().RawJSON())
			}
			all.AddChunk(stream.Current())
		}
		if stream.Err() != nil || strings.Count(all.Choices[0].Message.Content, "token") != 20 {
			t.Errorf("%q, %v", all.Choices[0].Message.Content, stream.Err())
		}
		asked := r.asked(t)
		if !strings.Contains(asked[len(asked)-1].Body, `"include_usage":true`) {
			t.Error("the upstream was not asked for the usage")
		}
	})
	t.Run("stream with usage", func(t *testing.T) {
		params := hello("gpt-4o-mini")
		params.StreamOptions.IncludeUsage = param.NewOpt(true)
		stream := c.Chat.Completions.NewStreaming(ctx, params)
		var tokens int64
		for stream.Next() {
			tokens = max(tokens, stream.Current().Usage.CompletionTokens)
		}
		if stream.Err() != nil || tokens != 20 {
			t.Errorf("%d tokens, %v", tokens, stream.Err())
		}
	})
	t.Run("tools", func(t *testing.T) {
		params := hello("gpt-4o-mini")
		params.Tools = []openai.ChatCompletionToolUnionParam{openai.ChatCompletionFunctionTool(shared.FunctionDefinitionParam{
			Name: "weather", Parameters: shared.FunctionParameters{"type": "object", "properties": map[string]any{"city": map[string]any{"type": "string"}}, "required": []string{"city"}}})}
		answer, err := c.Chat.Completions.New(ctx, params)
		if err != nil || len(answer.Choices[0].Message.ToolCalls) != 1 {
			t.Fatalf("%+v, %v", answer, err)
		}
		call := answer.Choices[0].Message.ToolCalls[0]
		params.Messages = append(params.Messages, answer.Choices[0].Message.ToParam(), openai.ToolMessage("sunny", call.ID))
		if answer, err = c.Chat.Completions.New(ctx, params); err != nil || answer.Choices[0].Message.Content == "" {
			t.Errorf("%+v, %v", answer, err)
		}
	})
	t.Run("structured output", func(t *testing.T) {
		params := hello("gpt-4o-mini")
		params.ResponseFormat = openai.ChatCompletionNewParamsResponseFormatUnion{OfJSONSchema: &shared.ResponseFormatJSONSchemaParam{
			JSONSchema: shared.ResponseFormatJSONSchemaJSONSchemaParam{Name: "trip", Strict: param.NewOpt(true), Schema: map[string]any{
				"type": "object", "required": []string{"city", "days"}, "additionalProperties": false,
				"properties": map[string]any{"city": map[string]any{"type": "string"}, "days": map[string]any{"type": "integer"}}}}}}
		answer, err := c.Chat.Completions.New(ctx, params)
		if err != nil {
			t.Fatal(err)
		}
		var trip struct {
			City string
			Days int
		}
		if err := json.Unmarshal([]byte(answer.Choices[0].Message.Content), &trip); err != nil || trip.City == "" {
			t.Errorf("%s: %v", answer.Choices[0].Message.Content, err)
		}
	})
	t.Run("responses", func(t *testing.T) {
		params := responses.ResponseNewParams{Model: "gpt-4o-mini", Input: responses.ResponseNewParamsInputUnion{OfString: param.NewOpt("Hello")}}
		answer, err := c.Responses.New(ctx, params)
		if err != nil || answer.OutputText() == "" {
			t.Errorf("%+v, %v", answer, err)
		}
		stream := c.Responses.NewStreaming(ctx, params)
		last := ""
		for stream.Next() {
			last = stream.Current().Type
		}
		if stream.Err() != nil || last != "response.completed" {
			t.Errorf("the last event is %s, %v", last, stream.Err())
		}
	})
	t.Run("embeddings", func(t *testing.T) {
		answer, err := c.Embeddings.New(ctx, openai.EmbeddingNewParams{Model: "text-embedding-3-small",
			Input: openai.EmbeddingNewParamsInputUnion{OfArrayOfStrings: []string{"a", "b"}}})
		if err != nil || len(answer.Data) != 2 || len(answer.Data[0].Embedding) != 1536 {
			t.Errorf("%v", err)
		}
	})
	t.Run("images", func(t *testing.T) {
		if answer, err := c.Images.Generate(ctx, openai.ImageGenerateParams{Model: "gpt-image-1", Prompt: "a cat"}); err != nil || answer.Data[0].B64JSON == "" {
			t.Errorf("generate: %v", err)
		}
		png := openai.File(strings.NewReader("\x89PNG"), "image.png", "image/png")
		if answer, err := c.Images.Edit(ctx, openai.ImageEditParams{Model: "gpt-image-1", Prompt: "a hat", Image: openai.ImageEditParamsImageUnion{OfFile: png}}); err != nil || answer.Data[0].B64JSON == "" {
			t.Errorf("edit: %v", err)
		}
		if answer, err := c.Images.NewVariation(ctx, openai.ImageNewVariationParams{Image: openai.File(strings.NewReader("\x89PNG"), "image.png", "image/png")}); err != nil || len(answer.Data) != 1 {
			t.Errorf("variation: %v", err)
		}
		stream := c.Images.GenerateStreaming(ctx, openai.ImageGenerateParams{Model: "gpt-image-1", Prompt: "a cat"})
		last := ""
		for stream.Next() {
			last = stream.Current().Type
		}
		if stream.Err() != nil || last != "image_generation.completed" {
			t.Errorf("the last event is %s, %v", last, stream.Err())
		}
	})
	t.Run("audio", func(t *testing.T) {
		speech, err := c.Audio.Speech.New(ctx, openai.AudioSpeechNewParams{Model: "tts-1", Voice: openai.AudioSpeechNewParamsVoiceUnion{OfString: param.NewOpt("alloy")}, Input: "Hello"})
		if err != nil {
			t.Fatal(err)
		}
		defer speech.Body.Close()
		through, _ := io.ReadAll(speech.Body)
		direct := openai.NewClient(option.WithBaseURL(r.mock+"/v1"), option.WithAPIKey(keyA))
		plain, err := direct.Audio.Speech.New(ctx, openai.AudioSpeechNewParams{Model: "tts-1", Voice: openai.AudioSpeechNewParamsVoiceUnion{OfString: param.NewOpt("alloy")}, Input: "Hello"})
		if err != nil {
			t.Fatal(err)
		}
		defer plain.Body.Close()
		if want, _ := io.ReadAll(plain.Body); !bytes.Equal(through, want) || len(want) == 0 {
			t.Errorf("%d bytes through the proxy, %d without it", len(through), len(want))
		}
		file := func() io.Reader {
			return openai.File(bytes.NewReader(make([]byte, 50_000)), "speech.mp3", "audio/mpeg")
		}
		if text, err := c.Audio.Transcriptions.New(ctx, openai.AudioTranscriptionNewParams{Model: "whisper-1", File: file()}); err != nil || text.Text == "" {
			t.Errorf("transcription: %v", err)
		}
		if text, err := c.Audio.Translations.New(ctx, openai.AudioTranslationNewParams{Model: "whisper-1", File: file()}); err != nil || text.Text == "" {
			t.Errorf("translation: %v", err)
		}
	})
	t.Run("moderations and models", func(t *testing.T) {
		if answer, err := c.Moderations.New(ctx, openai.ModerationNewParams{Input: openai.ModerationNewParamsInputUnion{OfString: param.NewOpt("x")}}); err != nil || len(answer.Results) != 1 {
			t.Errorf("moderation: %v", err)
		}
		if list, err := c.Models.List(ctx); err != nil || len(list.Data) == 0 {
			t.Errorf("models: %v", err)
		}
		if model, err := c.Models.Get(ctx, "gpt-4o-mini"); err != nil || model.ID != "gpt-4o-mini" {
			t.Errorf("model: %v", err)
		}
	})
	t.Run("10 MB body", func(t *testing.T) {
		params := openai.ChatCompletionNewParams{Model: "gpt-4o-mini", Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage(strings.Repeat("x", 10<<20))}}
		if _, err := c.Chat.Completions.New(ctx, params); err != nil {
			t.Error(err)
		}
	})
	t.Run("gzip accepted", func(t *testing.T) {
		if _, err := c.Chat.Completions.New(ctx, hello("gpt-4o-mini"), option.WithHeader("Accept-Encoding", "gzip, br")); err != nil {
			t.Error(err)
		}
	})
}

func TestGoSDKErrors(t *testing.T) {
	r := start(t, fmt.Sprintf(`CLIENT_TOKENS=[{"id":"sdk","token":%q},{"id":"slow","token":"sk-test-slow-0123456789abcdef","rpm":1,"burst":1}]`, token))
	slow := option.WithAPIKey("sk-test-slow-0123456789abcdef")
	c := r.client()
	if _, err := c.Chat.Completions.New(t.Context(), hello("gpt-4o-mini"), slow); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		opts   []option.RequestOption
		model  string
		status int
		code   string
	}{
		"nobody's token":   {[]option.RequestOption{option.WithAPIKey("sk-test-nobody")}, "gpt-4o-mini", 401, "invalid_api_key"},
		"no such model":    {nil, "missing", 404, "model_not_found"},
		"over its limit":   {[]option.RequestOption{slow}, "gpt-4o-mini", 429, "rate_limit_exceeded"},
		"unknown endpoint": {[]option.RequestOption{option.WithBaseURL(r.url + "/v1/nowhere")}, "gpt-4o-mini", 404, "unknown_endpoint"},
	} {
		_, err := c.Chat.Completions.New(t.Context(), hello(want.model), want.opts...)
		var e *openai.Error
		if !errors.As(err, &e) || e.StatusCode != want.status || e.Code != want.code {
			t.Errorf("%s: %v, want %d %s", name, err, want.status, want.code)
		}
	}
}

// One key of three fails, and the SDK, which does not try again itself, notices nothing.
func TestGoSDKFailover(t *testing.T) {
	r := start(t)
	c := r.client()
	for _, kind := range []string{"401", "402", "429", "429_quota", "500", "503_slow_down", "reset"} {
		r.fault(t, map[string]any{"key": keyB, "kind": kind, "count": 1})
		for range 6 {
			if _, err := c.Chat.Completions.New(t.Context(), hello("gpt-4o-mini")); err != nil {
				t.Errorf("%s: %v", kind, err)
			}
		}
	}
}

func TestAbort(t *testing.T) {
	r := start(t)
	r.fault(t, map[string]any{"key": "*", "kind": "silence", "after_chunks": 4})
	ctx, cancel := context.WithCancel(t.Context())
	c := r.client()
	stream := c.Chat.Completions.NewStreaming(ctx, hello("gpt-4o-mini"))
	for range 3 {
		stream.Next()
	}
	cancel()
	for stream.Next() {
	}
	eventually(t, "the upstream sees the abort", func() bool { return r.aborted(t) == 1 })
	eventually(t, "the record says so", func() bool { return strings.Contains(r.log.String(), `"ended":"caller_gone"`) })
}

func TestLongSilenceIsNotCut(t *testing.T) {
	t.Parallel()
	r := start(t)
	r.fault(t, map[string]any{"key": "*", "kind": "silence", "after_chunks": 4, "pause_ms": 20_000})
	begin := time.Now()
	c := r.client()
	stream := c.Chat.Completions.NewStreaming(t.Context(), hello("gpt-4o-mini"))
	chunks := 0
	for stream.Next() {
		chunks++
	}
	if stream.Err() != nil || chunks < 20 || time.Since(begin) < 20*time.Second {
		t.Errorf("%d chunks in %v, %v", chunks, time.Since(begin), stream.Err())
	}
}
