package relay

import (
	"context"
	"net/http"
	"strings"

	"openai-api-proxy/pkg/openai"
	"openai-api-proxy/pkg/proxy"
)

// besideHeader takes ids of stored objects, with commas between them. What the call makes goes to their account, as if its body
// pointed at them: a file that a vector store is to have later, or an evaluation beside the file of its runs.
const besideHeader = "X-Proxy-Beside"

// besides are the objects beside which a call is to be carried out.
func besides(header http.Header) (all []openai.Reference) {
	for _, line := range header[besideHeader] {
		for id := range strings.SplitSeq(line, ",") {
			if id = strings.TrimSpace(id); id != "" {
				all = append(all, openai.Reference{Param: besideHeader, Family: openai.FamilyOf(id), ID: id})
			}
		}
	}
	return all
}

// beside is the account in which something is best made that points at nothing: a run needs its thread and its assistant in one
// account, and a thread cannot point at an assistant when it is made. Where it is not known, or no key can be used there, any
// other will do; whoever uses several accounts on purpose says beside what by the header.
func (r *Relay) beside(ctx context.Context, owner string, op openai.Operation) (account string, soft bool) {
	if op.Objects == nil || op.Objects.Beside == "" {
		return "", false
	}
	newest, err := r.Owners.List(ctx, owner, proxy.ObjectQuery{Family: op.Objects.Beside, Limit: 1})
	if err != nil || len(newest.Objects) == 0 {
		return "", false
	}
	return newest.Objects[0].Account, true
}

// searches is the fault of an evaluation that chooses among all that an account stores. The upstream has no way to say which of
// it: by metadata, by model, by time, but not by id. What is the client's can be listed and given with the run instead.
func searches(param string) *proxy.Fault {
	public := "with more than one account or client an evaluation cannot choose among all that an account stores; "
	if param == "data_source_config" {
		public += "use the type custom with an item_schema, and give each run its items"
	} else {
		public += "list the client's own and give them as items with the source file_content, or in a file with the source file_id"
	}
	return &proxy.Fault{Kind: proxy.NotSupportedYet, Param: param, Public: public}
}
