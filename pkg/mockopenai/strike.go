package mockopenai

import "net/http"

// nowhere is where redirect leads: the discard port of a loopback address that is not ours.
const nowhere = "http://127.0.0.2:9/v1/elsewhere"

// rubbish is neither JSON nor a server-sent event.
const rubbish = "data: {\"id\":\"chatcmpl-\n\n\x00\xff<<not an event>>\n\n"

// early are the kinds that strike in place of an answer. Those that are a status are in refusals.
var early = map[string]func(*exchange, *Fault){
	"hang":  func(x *exchange, _ *Fault) { x.wait(nil) },
	"reset": func(x *exchange, _ *Fault) { sever(x.w, true) },
	"close": func(x *exchange, _ *Fault) { sever(x.w, false) },
	"redirect": func(x *exchange, f *Fault) {
		to := f.Location
		if to == "" {
			to = nowhere
		}
		http.Redirect(x.w, x.r, to, http.StatusFound)
	},
}

// midway are the kinds that strike within an answer; all but silence end it.
var midway = map[string]func(*stream, *Fault){
	"reset_mid": func(st *stream, _ *Fault) { st.cut(true) },
	"close_mid": func(st *stream, _ *Fault) { st.cut(false) },
	"error_mid": func(st *stream, _ *Fault) {
		if st.errorEvent == nil { // a binary stream has no other way to tell
			st.cut(false)
			return
		}
		st.put(st.errorEvent(st.sent))
		st.over = true
	},
	"garbage": func(st *stream, _ *Fault) {
		st.put([]byte(rubbish))
		st.over = true
	},
	"silence": func(st *stream, f *Fault) {
		st.flush()
		if st.over {
			return
		}
		if f.PauseMS > 0 {
			st.over = !st.x.pause(millis(f.PauseMS))
		} else {
			st.over = !st.x.wait(nil)
		}
	},
}

// strikeEarly applies a fault that takes the place of the answer and reports whether it was one.
func (x *exchange) strikeEarly() bool {
	if _, ok := refusals[x.fault.Kind]; ok {
		x.refuseAs(x.fault)
		return true
	}
	strike, ok := early[x.fault.Kind]
	if ok {
		strike(x, x.fault)
	}
	return ok
}

// sendStruck sends an answer with a declared length, to which the fault happens halfway.
func (x *exchange) sendStruck(contentType string, body []byte) {
	switch x.fault.Kind {
	case "error_mid":
		x.refuse(refusals["500"])
	case "garbage":
		x.write(http.StatusOK, contentType, []byte(rubbish))
	default:
		st := x.open(contentType, nil)
		st.declare(len(body))
		st.strikeAt = 1
		st.send(body[:len(body)/2])
		st.send(body[len(body)/2:])
	}
}
