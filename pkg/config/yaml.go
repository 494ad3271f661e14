package config

import (
	"errors"
	"fmt"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/parser"
	"github.com/goccy/go-yaml/token"
)

// parseYAML reads one YAML document. Anchors, aliases, merge keys, tags and directives are faults: each gives a text a
// second way to mean something, and a settings file needs none. An empty document has kind null.
func parseYAML(data []byte) (value, []fault) {
	// Doubled keys are allowed here and found by value.add: the library's message repeats them, and it stops at one.
	file, err := parser.ParseBytes(data, 0, parser.AllowDuplicateMapKey())
	if err != nil {
		return value{}, []fault{yamlSyntax(err)}
	}
	var r yamlReader
	var root value
	documents := 0
	for _, doc := range file.Docs {
		if doc.Body == nil {
			continue
		}
		if documents++; documents > 1 {
			r.fault(doc.Body.GetToken(), "a file has one document; put all settings into the first")
			break
		}
		root = r.value(doc.Body)
	}
	return root, r.faults
}

// yamlSyntax turns the error of a text that is not YAML into a fault. The library's messages repeat what is in the file
// only in double quotes, so that part is left out; its whole error has lines of the file in it.
func yamlSyntax(err error) fault {
	var syntax *yaml.SyntaxError
	if !errors.As(err, &syntax) || syntax.Token == nil || syntax.Token.Position == nil {
		return fault{1, 1, "is not YAML"}
	}
	said, _, _ := strings.Cut(syntax.Message, `"`)
	said = strings.TrimRight(strings.ReplaceAll(said, "\t", `\t`), " :")
	at := syntax.Token.Position
	return fault{at.Line, max(at.Column, 1), "is not YAML: " + said}
}

// yamlReader turns the library's tree into ours.
type yamlReader struct{ faults []fault }

func (r *yamlReader) fault(at *token.Token, text string) {
	f := fault{line: 1, column: 1, text: text}
	if at != nil && at.Position != nil {
		f.line, f.column = at.Position.Line, max(at.Position.Column, 1)
	}
	r.faults = append(r.faults, f)
}

func (r *yamlReader) value(n ast.Node) value {
	v := value{line: 1, column: 1}
	if n == nil {
		return v
	}
	if at := n.GetToken(); at != nil && at.Position != nil {
		v.line, v.column, v.text = at.Position.Line, max(at.Position.Column, 1), at.Value
	}
	switch n := n.(type) {
	case *ast.NullNode:
	case *ast.BoolNode:
		v.kind, v.text = isFlag, fmt.Sprint(n.Value)
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		v.kind = isNumber // its text is the token's
	case *ast.StringNode:
		v.kind, v.text = isText, n.Value
	case *ast.LiteralNode:
		v.kind, v.text = isText, n.Value.Value
	case *ast.SequenceNode:
		v.kind = isList
		for _, item := range n.Values {
			v.items = append(v.items, r.value(item))
		}
	case *ast.MappingNode:
		r.mapping(&v, n.Values)
	case *ast.MappingValueNode:
		r.mapping(&v, []*ast.MappingValueNode{n})
	default:
		r.fault(n.GetToken(), "anchors, aliases, tags and directives are not read here; write the value itself")
	}
	return v
}

// mapping fills an object, which begins where its first field does unless it has braces.
func (r *yamlReader) mapping(v *value, fields []*ast.MappingValueNode) {
	v.kind = isObject
	for i, n := range fields {
		if merge, ok := n.Key.(*ast.MergeKeyNode); ok {
			r.fault(merge.GetToken(), "merge keys are not read here; write the fields themselves")
			continue
		}
		name := r.value(n.Key)
		if i == 0 && v.text != "{" {
			v.line, v.column = name.line, name.column
		}
		r.faults = append(r.faults, v.add(field{name, r.value(n.Value)})...)
	}
}
