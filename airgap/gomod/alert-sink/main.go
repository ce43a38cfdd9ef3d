// Receives what Alertmanager delivers, keeps it with the time of its arrival, and tells it to whoever asks.
//
// POST to any path takes a JSON payload; GET /deliveries answers with a list of {"at": epoch seconds, "path": ...,
// "payload": ...}, oldest first; GET /healthz says that it listens.
package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"io"
	"log"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

const largestPayload = 1 << 20 // bytes; Alertmanager's are a few kilobytes

// delivery is one payload, and when and where it arrived.
type delivery struct {
	At      float64         `json:"at"`
	Path    string          `json:"path"`
	Payload json.RawMessage `json:"payload"`
}

// sink holds the newest deliveries, in memory and one a line in a file.
type sink struct {
	sync.Mutex
	file string
	most int
	kept []delivery
}

// load reads what an earlier run kept; a last line that was cut short is left out.
func (s *sink) load() error {
	text, err := os.ReadFile(s.file)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return err
	}
	lines := bufio.NewScanner(bytes.NewReader(text))
	lines.Buffer(nil, 2*largestPayload)
	for lines.Scan() {
		var one delivery
		if json.Unmarshal(lines.Bytes(), &one) == nil {
			s.kept = append(s.kept, one)
		}
	}
	if err := lines.Err(); err != nil {
		return err
	}
	return s.rewrite()
}

// keep notes one delivery; once twice as many as wanted are there, the older half is forgotten.
func (s *sink) keep(one delivery) error {
	s.Lock()
	defer s.Unlock()
	s.kept = append(s.kept, one)
	if len(s.kept) >= 2*s.most {
		return s.rewrite()
	}
	line, err := json.Marshal(one)
	if err != nil {
		return err
	}
	file, err := os.OpenFile(s.file, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(append(line, '\n')); err != nil {
		return err
	}
	return file.Sync()
}

// rewrite puts the newest deliveries down whole: beside, then renamed.
func (s *sink) rewrite() error {
	s.kept = s.kept[max(0, len(s.kept)-s.most):]
	var text bytes.Buffer
	for _, one := range s.kept {
		line, err := json.Marshal(one)
		if err != nil {
			return err
		}
		text.Write(append(line, '\n'))
	}
	if err := os.WriteFile(s.file+".part", text.Bytes(), 0o600); err != nil {
		return err
	}
	return os.Rename(s.file+".part", s.file)
}

// receive takes one payload; Alertmanager repeats what was not answered with 2xx.
func (s *sink) receive(answer http.ResponseWriter, request *http.Request) {
	at := float64(time.Now().UnixMicro()) / 1e6
	body, err := io.ReadAll(http.MaxBytesReader(answer, request.Body, largestPayload))
	var compact bytes.Buffer
	if err == nil {
		err = json.Compact(&compact, body)
	}
	if err != nil {
		http.Error(answer, err.Error(), http.StatusBadRequest)
		return
	}
	if err := s.keep(delivery{at, request.URL.Path, compact.Bytes()}); err != nil {
		log.Print(err)
		http.Error(answer, err.Error(), http.StatusInternalServerError)
	}
}

// tell answers with all that is kept.
func (s *sink) tell(answer http.ResponseWriter, _ *http.Request) {
	s.Lock()
	text, err := json.Marshal(append([]delivery{}, s.kept...))
	s.Unlock()
	if err != nil {
		http.Error(answer, err.Error(), http.StatusInternalServerError)
		return
	}
	answer.Header().Set("Content-Type", "application/json")
	_, _ = answer.Write(text)
}

func main() {
	address := flag.String("listen", ":8080", "where to listen")
	file := flag.String("file", "/data/deliveries.jsonl", "where to keep deliveries")
	most := flag.Int("most", 5000, "how many deliveries to keep at the least")
	flag.Parse()
	kept := &sink{file: *file, most: *most}
	if err := kept.load(); err != nil {
		log.Fatal(err)
	}
	ways := http.NewServeMux()
	ways.HandleFunc("POST /", kept.receive)
	ways.HandleFunc("GET /deliveries", kept.tell)
	ways.HandleFunc("GET /healthz", func(http.ResponseWriter, *http.Request) {})
	server := &http.Server{Addr: *address, Handler: ways, ReadHeaderTimeout: 5 * time.Second}
	ending, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	go func() {
		<-ending.Done()
		_ = server.Shutdown(context.Background())
	}()
	log.Printf("listening on %s, %d deliveries kept", *address, len(kept.kept))
	if err := server.ListenAndServe(); !errors.Is(err, http.ErrServerClosed) {
		log.Fatal(err)
	}
}
