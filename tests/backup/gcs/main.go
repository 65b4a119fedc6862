// Google Cloud Storage on a free port of 127.0.0.1, in memory, with the empty bucket `backups`. fake-gcs-server keeps the
// objects, hands them out and removes them, and speaks the JSON API; what clients of the XML API write and list with is
// added here. Whoever asks has to sign with the key whose public part is in the file that is the argument, as PKCS#1 in
// DER. The first line on standard output is the address.
package main

import (
	"crypto"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/fsouza/fake-gcs-server/fakestorage"
)

const bucket = "backups"

type server struct {
	objects *fakestorage.Server
	rest    http.Handler
	key     *rsa.PublicKey
	// Held while an object is looked at and written.
	lock    sync.Mutex
	uploads map[string]map[int][]byte
}

func main() {
	der, err := os.ReadFile(os.Args[1])
	if err != nil {
		log.Fatal(err)
	}
	key, err := x509.ParsePKCS1PublicKey(der)
	if err != nil {
		log.Fatal(err)
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	address := listener.Addr().String()
	objects, err := fakestorage.NewServerWithOptions(fakestorage.Options{NoListener: true, PublicHost: address})
	if err != nil {
		log.Fatal(err)
	}
	objects.CreateBucketWithOpts(fakestorage.CreateBucketOpts{Name: bucket})
	fmt.Println(address)
	served := &server{objects: objects, rest: objects.HTTPHandler(), key: key, uploads: map[string]map[int][]byte{}}
	log.Fatal(http.Serve(listener, served))
}

func (s *server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name, object, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
	query := r.URL.Query()
	upload := query.Get("uploadId")
	if !s.knows(r.Header.Get("Authorization")) {
		refuse(w, http.StatusUnauthorized, "AuthenticationRequired", "The token is of nobody who is known.")
		return
	}
	if name != bucket {
		refuse(w, http.StatusNotFound, "NoSuchBucket", "The specified bucket does not exist.")
		return
	}
	s.lock.Lock()
	defer s.lock.Unlock()
	switch {
	case object == "" && r.Method == http.MethodGet:
		s.list(w, query.Get("prefix"))
	case r.Method == http.MethodPost && query.Has("uploads"):
		upload = strconv.Itoa(len(s.uploads) + 1)
		s.uploads[upload] = map[int][]byte{}
		answer(w, struct {
			XMLName  xml.Name `xml:"InitiateMultipartUploadResult"`
			UploadId string
		}{UploadId: upload})
	case upload != "" && s.uploads[upload] == nil:
		refuse(w, http.StatusNotFound, "NoSuchUpload", "The requested upload was not found.")
	case r.Method == http.MethodPut && upload != "":
		s.part(w, r, upload, query.Get("partNumber"))
	case r.Method == http.MethodPost && upload != "":
		s.complete(w, r, upload, object)
	case r.Method == http.MethodDelete && upload != "":
		s.uploads[upload] = nil
		w.WriteHeader(http.StatusNoContent)
	case r.Method == http.MethodPut:
		s.put(w, r, object)
	default:
		s.rest.ServeHTTP(w, r)
	}
}

// A token is a JWT that the account signed itself.
func (s *server) knows(authorization string) bool {
	token, bearer := strings.CutPrefix(authorization, "Bearer ")
	end := strings.LastIndexByte(token, '.')
	if !bearer || end < 0 {
		return false
	}
	signature, err := base64.RawURLEncoding.DecodeString(token[end+1:])
	digest := sha256.Sum256([]byte(token[:end]))
	return err == nil && rsa.VerifyPKCS1v15(s.key, crypto.SHA256, digest[:], signature) == nil
}

func (s *server) list(w http.ResponseWriter, prefix string) {
	found, _, err := s.objects.ListObjectsWithOptions(bucket, fakestorage.ListOptions{Prefix: prefix})
	if err != nil {
		refuse(w, http.StatusInternalServerError, "InternalError", err.Error())
		return
	}
	list := fakestorage.ListBucketResult{Name: bucket, Prefix: prefix, KeyCount: len(found)}
	for _, object := range found {
		list.Contents = append(list.Contents, fakestorage.Contents{
			Key:          object.Name,
			Generation:   object.Generation,
			Size:         object.Size,
			LastModified: object.Updated.Format(time.RFC3339),
			ETag:         fakestorage.ETag{Value: object.Etag},
		})
	}
	answer(w, list)
}

func (s *server) put(w http.ResponseWriter, r *http.Request, object string) {
	content, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, http.StatusBadRequest, "IncompleteBody", err.Error())
		return
	}
	// Zero: it must not be there yet.
	if r.Header.Get("x-goog-if-generation-match") == "0" {
		if _, err := s.objects.GetObject(bucket, object); err == nil {
			refuse(w, http.StatusPreconditionFailed, "PreconditionFailed", "It is there already.")
			return
		}
	}
	if s.store(w, object, content) {
		w.WriteHeader(http.StatusOK)
	}
}

func (s *server) part(w http.ResponseWriter, r *http.Request, upload, number string) {
	n, err := strconv.Atoi(number)
	if err != nil {
		refuse(w, http.StatusBadRequest, "InvalidArgument", "The number of the part is none.")
		return
	}
	content, err := io.ReadAll(r.Body)
	if err != nil {
		refuse(w, http.StatusBadRequest, "IncompleteBody", err.Error())
		return
	}
	s.uploads[upload][n] = content
	w.Header().Set("ETag", etag(n, content))
	w.WriteHeader(http.StatusOK)
}

func etag(part int, content []byte) string {
	return fmt.Sprintf("\"%d-%d\"", part, len(content))
}

func (s *server) complete(w http.ResponseWriter, r *http.Request, upload, object string) {
	var wanted struct {
		Part []struct {
			PartNumber int
			ETag       string
		}
	}
	if err := xml.NewDecoder(r.Body).Decode(&wanted); err != nil {
		refuse(w, http.StatusBadRequest, "MalformedCompleteMultipartUploadRequest", err.Error())
		return
	}
	var content []byte
	for _, part := range wanted.Part {
		one, there := s.uploads[upload][part.PartNumber]
		if !there || part.ETag != etag(part.PartNumber, one) {
			refuse(w, http.StatusBadRequest, "InvalidPart", fmt.Sprintf("Part %d is not there.", part.PartNumber))
			return
		}
		content = append(content, one...)
	}
	s.uploads[upload] = nil
	if s.store(w, object, content) {
		answer(w, struct {
			XMLName xml.Name `xml:"CompleteMultipartUploadResult"`
			ETag    string
		}{ETag: w.Header().Get("ETag")})
	}
}

// Keeps an object and says so in the headers, or refuses.
func (s *server) store(w http.ResponseWriter, name string, content []byte) bool {
	attributes := fakestorage.ObjectAttrs{BucketName: bucket, Name: name}
	object := fakestorage.Object{ObjectAttrs: attributes, Content: content}
	if err := s.objects.CreateObjectStreaming(object.StreamingObject()); err != nil {
		refuse(w, http.StatusInternalServerError, "InternalError", err.Error())
		return false
	}
	kept, err := s.objects.GetObject(bucket, name)
	if err != nil {
		refuse(w, http.StatusInternalServerError, "InternalError", err.Error())
		return false
	}
	w.Header().Set("ETag", strconv.Quote(kept.Etag))
	w.Header().Set("x-goog-generation", strconv.FormatInt(kept.Generation, 10))
	return true
}

func answer(w http.ResponseWriter, body any) {
	w.Header().Set("Content-Type", "application/xml")
	if err := xml.NewEncoder(w).Encode(body); err != nil {
		log.Print(err)
	}
}

func refuse(w http.ResponseWriter, status int, code, message string) {
	w.Header().Set("Content-Type", "application/xml")
	w.WriteHeader(status)
	body := struct {
		XMLName xml.Name `xml:"Error"`
		Code    string
		Message string
	}{Code: code, Message: message}
	if err := xml.NewEncoder(w).Encode(body); err != nil {
		log.Print(err)
	}
}
