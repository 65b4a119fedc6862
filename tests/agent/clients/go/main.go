// A bot in Go: orders by HTTP and by a websocket until that fails.
package main

import (
	"bytes"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/gorilla/websocket"
)

func main() {
	base := os.Args[1]
	stream := strings.Replace(base, "https://", "wss://", 1) + "/stream"

	// >>>
	client := http.DefaultClient      // http.ProxyFromEnvironment
	dialer := websocket.DefaultDialer // http.ProxyFromEnvironment as well
	transport := &http.Transport{     // one of your own has no proxy unless you say so
		Proxy: http.ProxyFromEnvironment,
	}
	// <<<

	socket, _, err := dialer.Dial(stream, nil)
	if err != nil {
		log.Fatal(err)
	}
	for _, client := range []*http.Client{client, {Transport: transport}} {
		answer, err := client.Post(base+"/order", "application/json", bytes.NewBufferString("{}"))
		if err != nil {
			log.Fatal(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
		fmt.Printf("certificate %x\n", answer.TLS.PeerCertificates[0].Raw)
	}
	for {
		if err := socket.WriteMessage(websocket.TextMessage, []byte("an order")); err != nil {
			log.Fatal(err)
		}
		if _, _, err := socket.ReadMessage(); err != nil {
			log.Fatal(err)
		}
		time.Sleep(20 * time.Millisecond)
	}
}
