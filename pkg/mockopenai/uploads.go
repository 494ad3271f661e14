package mockopenai

import (
	"crypto/md5"
	"encoding/hex"
	"net/http"
)

// createFile is POST /v1/files.
func (x *exchange) createFile(o *objects, s *shelf) any {
	file := x.newFile(o, s, x.ask.text("purpose"), x.ask.name, x.ask.held, x.ask.files["file"])
	if metadata := x.ask.doc.Get("metadata"); metadata.IsObject() {
		file.fields["metadata"] = metadata.Value()
	}
	return file.fields
}

// newFile is a file that the account has from now on.
func (x *exchange) newFile(o *objects, s *shelf, purpose, name string, held []byte, size int64) *object {
	files, _ := kindOf("/v1/files")
	file := x.bareObject(o, "/v1/files", files)
	file.content, file.size = held, size
	file.fields["purpose"], file.fields["filename"], file.fields["bytes"] = purpose, name, size
	file.fields["status"] = "processed"
	s.add(file)
	return file
}

// uploadLife is after how many seconds an upload expires.
const uploadLife = 3600

// createUpload is POST /v1/uploads.
func (x *exchange) createUpload(o *objects, s *shelf, k kind) any {
	one := x.newObject(o, "/v1/uploads", k)
	one.fields["status"], one.fields["expires_at"], one.fields["file"] = "pending", one.created+uploadLife, nil
	s.add(one)
	return one.fields
}

// createPart is POST /v1/uploads/{id}/parts.
func (x *exchange) createPart(o *objects, s *shelf, collection string, k kind) any {
	part := x.bareObject(o, collection, k)
	upload := s.byPath[part.parent()]
	if no := settled(upload); no != nil {
		return no
	}
	part.content, part.size = x.ask.held, x.ask.files["data"]
	part.fields["upload_id"] = upload.id()
	s.add(part)
	return part.fields
}

// settled refuses what can be done with an upload only as long as it is neither complete nor cancelled.
func settled(upload *object) *refusal {
	if status := upload.fields["status"]; status != "pending" {
		return badRequest("", "Upload is not pending.")
	}
	return nil
}

// cancelUpload is POST /v1/uploads/{id}/cancel.
func cancelUpload(upload *object) any {
	if no := settled(upload); no != nil {
		return no
	}
	upload.fields["status"] = "cancelled"
	return upload.fields
}

// completeUpload is POST /v1/uploads/{id}/complete: a file of the parts that are named, in their order.
func (x *exchange) completeUpload(o *objects, s *shelf, upload *object) any {
	if no := settled(upload); no != nil {
		return no
	}
	ids := x.ask.doc.Get("part_ids")
	if !ids.IsArray() {
		return lacking("part_ids")
	}
	var whole []byte
	var size int64
	for _, id := range ids.Array() {
		part := s.byPath[upload.path+"/parts/"+id.Str]
		if part == nil {
			return &refusal{http.StatusNotFound, "invalid_request_error", "", "part_ids", "No such part: " + id.Str}
		}
		whole, size = append(whole, part.content...), size+part.size
	}
	if want := upload.number("bytes"); want != size {
		return badRequest("", "The number of bytes uploaded does not match that of the upload.")
	}
	if sum := x.ask.text("md5"); sum != "" && sum != md5Of(whole) {
		return badRequest("md5", "The checksum does not match the bytes uploaded.")
	}
	for _, id := range ids.Array() {
		s.byPath[upload.path+"/parts/"+id.Str].content = nil // the file has it now
	}
	file := x.newFile(o, s, upload.text("purpose"), upload.text("filename"), whole, size)
	upload.fields["status"], upload.fields["file"] = "completed", file.fields
	return upload.fields
}

func md5Of(text []byte) string {
	sum := md5.Sum(text)
	return hex.EncodeToString(sum[:])
}

// lacking refuses a request without a field that must be there.
func lacking(name string) *refusal {
	no := badRequest(name, "Missing required parameter: '"+name+"'.")
	no.code = "missing_required_parameter"
	return no
}
