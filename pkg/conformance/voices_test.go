package conformance

import (
	"context"
	"strings"
	"testing"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/packages/param"
)

// Consents and the voices that are made with them, through two replicas over three accounts, of which one replica is killed in
// the middle. A voice lies where its consent does, and speaks there.
func TestVoices(t *testing.T) {
	p := newPair(t)
	var consents, voices []string
	p.rounds(t, func() {
		consents = append(consents, p.consent(t))
	})
	for _, id := range consents { // those that were made before one replica was killed, too
		voices = append(voices, p.voice(t, id))
		p.unseenConsent(t, id)
	}
	p.holders(t, "/v1/audio/voice_consents", consents)
	c := p.next(sdk)
	got, err := listed(c.Audio.VoiceConsents.ListAutoPaging(t.Context(), openai.AudioVoiceConsentListParams{Limit: param.NewOpt[int64](2)}),
		func(one openai.VoiceConsent) string { return one.ID })
	same(t, "consents", got, consents, err)
	for i, id := range voices {
		if in, its := p.holder(t, "/v1/audio/voices/"+id), p.holder(t, "/v1/audio/voice_consents/"+consents[i]); in != its {
			t.Errorf("a voice in %s with a consent in %s", in, its)
		}
		p.speaks(t, id)
		p.unseen(t, "deletes a voice", id, func(c openai.Client, id string) error { return second(c.Audio.Voices.Delete(t.Context(), id)) })
		c := p.next(sdk)
		if gone, err := c.Audio.Voices.Delete(t.Context(), id); err != nil || !gone.Deleted {
			t.Errorf("%+v, %v", gone, err)
		}
		c = p.next(sdk)
		answers(t, "a voice that was deleted", second(c.Audio.Voices.Delete(t.Context(), id)), 404)
	}
	for _, id := range consents {
		c := p.next(sdk)
		if gone, err := c.Audio.VoiceConsents.Delete(t.Context(), id); err != nil || !gone.Deleted {
			t.Errorf("%+v, %v", gone, err)
		}
		c = p.next(sdk)
		answers(t, "a consent that was deleted", second(c.Audio.VoiceConsents.Get(t.Context(), id)), 404)
	}
	p.stayed(t)
}

func (p *pair) consent(t *testing.T) (id string) {
	t.Helper()
	ctx, c := t.Context(), p.next(sdk)
	one, err := c.Audio.VoiceConsents.New(ctx, openai.AudioVoiceConsentNewParams{Name: "Ada", Language: "en-GB",
		Recording: openai.File(strings.NewReader("I agree"), "yes.wav", "audio/wav")})
	if err != nil {
		t.Fatal(err)
	}
	whole(t, one)
	c = p.next(sdk)
	if one, err = c.Audio.VoiceConsents.Update(ctx, one.ID, openai.AudioVoiceConsentUpdateParams{Name: "Eve"}); err != nil || one.Name != "Eve" {
		t.Errorf("%+v, %v", one, err)
	}
	c = p.next(sdk)
	if one, err = c.Audio.VoiceConsents.Get(ctx, one.ID); err != nil || one.Name != "Eve" || one.Language != "en-GB" {
		t.Errorf("%+v, %v", one, err)
	}
	return one.ID
}

// sample is what a voice is made of.
func sample(consent string) openai.AudioVoiceNewParams {
	return openai.AudioVoiceNewParams{OfAudioSample: &openai.AudioVoiceNewParamsBodyAudioSample{Name: "Ada", Consent: consent,
		AudioSample: openai.File(strings.NewReader("hello"), "ada.wav", "audio/wav")}}
}

func (p *pair) voice(t *testing.T, consent string) (id string) {
	t.Helper()
	c := p.next(sdk)
	v, err := c.Audio.Voices.New(t.Context(), sample(consent))
	if err != nil {
		t.Fatal(err)
	}
	whole(t, v)
	return v.ID
}

// speaks says something in a voice.
func (p *pair) speaks(t *testing.T, voice string) {
	t.Helper()
	say := func(c openai.Client, id string) error {
		a, err := c.Audio.Speech.New(t.Context(), openai.AudioSpeechNewParams{Model: "gpt-4o-mini-tts", Input: "Hello",
			Voice: openai.AudioSpeechNewParamsVoiceUnion{OfAudioSpeechNewsVoiceID: &openai.AudioSpeechNewParamsVoiceID{ID: id}}})
		return closed(a, err)
	}
	if err := say(p.next(sdk), voice); err != nil {
		t.Error(err)
	}
	p.unseen(t, "speaks", voice, say)
}

func (p *pair) unseenConsent(t *testing.T, id string) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for what, reach := range map[string]func(openai.Client, string) error{
		"gets a consent": func(c openai.Client, id string) error { return second(c.Audio.VoiceConsents.Get(ctx, id)) },
		"changes a consent": func(c openai.Client, id string) error {
			return second(c.Audio.VoiceConsents.Update(ctx, id, openai.AudioVoiceConsentUpdateParams{Name: "Mine"}))
		},
		"deletes a consent": func(c openai.Client, id string) error { return second(c.Audio.VoiceConsents.Delete(ctx, id)) },
		"uses a consent":    func(c openai.Client, id string) error { return second(c.Audio.Voices.New(ctx, sample(id))) },
	} {
		p.unseen(t, what, id, reach)
	}
	c := p.next(other)
	got, err := listed(c.Audio.VoiceConsents.ListAutoPaging(ctx, openai.AudioVoiceConsentListParams{}), func(one openai.VoiceConsent) string { return one.ID })
	nothing(t, got, err)
}
