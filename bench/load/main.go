// Command load drives one unary gRPC method, or one HTTP path that takes POSTs of JSON, with request
// messages from a file, and prints as JSON how many calls were answered and how long they took.
//
// With -concurrency N, N callers each send one call after the other (closed loop). With -rate R,
// calls are sent R times a second whether or not earlier ones were answered (open loop), and a
// call's time counts from the moment it was due, so that a server that falls behind shows. With
// -outstanding N as well, at most N calls wait for their replies; calls that are due beyond that are
// not sent, and counted.
//
// Messages are bytes to it: it needs no stubs, and spends little beside the server it measures.
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"math/rand/v2"
	"os"
	"sync"
	"time"
)

type options struct {
	address, method, path, requests string
	concurrency, connections        int
	outstanding                     int
	rate                            float64
	warmUp, duration, timeout       time.Duration
}

func main() {
	log.SetFlags(0)
	given := read()
	messages, err := messagesOf(given.requests)
	if err != nil {
		log.Fatalf("load: %s: %v", given.requests, err)
	}
	send, err := senderTo(given)
	if err != nil {
		log.Fatalf("load: %s: %v", given.address, err)
	}
	target := target{send, given.timeout, messages}
	run := target.closedLoop
	if given.rate > 0 {
		run = target.openLoop
	}
	if given.warmUp > 0 {
		run(given, given.warmUp)
	}
	report := run(given, given.duration).report()
	if err := json.NewEncoder(os.Stdout).Encode(report); err != nil {
		log.Fatalf("load: %v", err)
	}
}

func read() options {
	var given options
	flag.StringVar(&given.address, "address", "", "host:port of the server")
	flag.StringVar(&given.method, "method", "", "/package.Service/Method to call")
	flag.StringVar(&given.path, "path", "", "HTTP path to post to, instead of a method")
	flag.StringVar(&given.requests, "requests", "", "file of messages, each after its length (uint32, big endian)")
	flag.IntVar(&given.concurrency, "concurrency", 1, "callers of the closed loop")
	flag.IntVar(&given.connections, "connections", 4, "gRPC connections that calls are spread over, at most one a caller")
	flag.Float64Var(&given.rate, "rate", 0, "calls per second of the open loop; 0 for the closed one")
	flag.IntVar(&given.outstanding, "outstanding", 0, "calls of the open loop that may wait for replies at once; 0 for any number")
	flag.DurationVar(&given.warmUp, "warm-up", 500*time.Millisecond, "how long to call before measuring")
	flag.DurationVar(&given.duration, "duration", 5*time.Second, "how long to measure")
	flag.DurationVar(&given.timeout, "timeout", 10*time.Second, "deadline of a call")
	flag.Parse()
	return given
}

// messagesOf reads length-prefixed messages.
func messagesOf(path string) ([][]byte, error) {
	rest, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var messages [][]byte
	for len(rest) >= 4 {
		length := int(binary.BigEndian.Uint32(rest))
		if rest = rest[4:]; length > len(rest) {
			return nil, fmt.Errorf("message %d is cut off", len(messages))
		}
		messages = append(messages, rest[:length:length])
		rest = rest[length:]
	}
	if len(rest) > 0 || len(messages) == 0 {
		return nil, errors.New("not a file of length-prefixed messages")
	}
	return messages, nil
}

// target is what is called, and with what.
type target struct {
	send     sender
	timeout  time.Duration
	messages [][]byte
}

// call sends one message drawn at random and records the answer.
func (t target) call(into *record, caller int, due time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), t.timeout)
	defer cancel()
	replyBytes, err := t.send(ctx, caller, t.messages[rand.IntN(len(t.messages))])
	into.add(time.Since(due), replyBytes, err)
}

func (t target) closedLoop(given options, duration time.Duration) *record {
	whole := &record{started: time.Now()}
	end := whole.started.Add(duration)
	var callers sync.WaitGroup
	for number := range given.concurrency {
		callers.Go(func() {
			own := &record{}
			for now := time.Now(); now.Before(end); now = time.Now() {
				t.call(own, number, now)
			}
			whole.merge(own)
		})
	}
	callers.Wait()
	whole.ended = time.Now()
	return whole
}

func (t target) openLoop(given options, duration time.Duration) *record {
	whole := &record{started: time.Now()}
	var calls sync.WaitGroup
	slots := make(chan struct{}, max(given.outstanding, 1))
	for number := range int(given.rate * duration.Seconds()) {
		due := whole.started.Add(time.Duration(float64(number) / given.rate * float64(time.Second)))
		time.Sleep(time.Until(due))
		if given.outstanding > 0 {
			select {
			case slots <- struct{}{}:
			default:
				whole.notSent++
				continue
			}
		}
		calls.Go(func() {
			t.call(whole, number, due)
			if given.outstanding > 0 {
				<-slots
			}
		})
	}
	calls.Wait()
	whole.ended = time.Now()
	return whole
}
