// Command load drives one unary gRPC method, one HTTP path that takes POSTs of JSON, or one PostgreSQL
// database that takes SQL, with request messages from a file, and prints as JSON how many calls were
// answered and how long they took.
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
	database                        string
	concurrency, connections        int
	outstanding                     int
	rate                            float64
	warmUp, duration, timeout       time.Duration

	writeMethod, writePath, writeDatabase string
	writeRequests                         string
	writeShare                            float64
}

// writes are the options for the messages of -write-requests.
func (o options) writes() options {
	o.method, o.path, o.database = o.writeMethod, o.writePath, o.writeDatabase
	o.requests = o.writeRequests
	return o
}

func main() {
	log.SetFlags(0)
	given := read()
	target := targetOf(given)
	if given.writeRequests != "" {
		target.writes = targetOf(given.writes())
	}
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
	flag.StringVar(&given.database, "database", "", "user@name of a PostgreSQL database to send SQL to, instead of a method")
	flag.StringVar(&given.requests, "requests", "", "file of messages, each after its length (uint32, big endian)")
	flag.IntVar(&given.concurrency, "concurrency", 1, "callers of the closed loop")
	flag.IntVar(&given.connections, "connections", 4, "gRPC connections that calls are spread over, at most one a caller")
	flag.Float64Var(&given.rate, "rate", 0, "calls per second of the open loop; 0 for the closed one")
	flag.IntVar(&given.outstanding, "outstanding", 0, "calls of the open loop that may wait for replies at once; 0 for any number")
	flag.DurationVar(&given.warmUp, "warm-up", 500*time.Millisecond, "how long to call before measuring")
	flag.DurationVar(&given.duration, "duration", 5*time.Second, "how long to measure")
	flag.DurationVar(&given.timeout, "timeout", 10*time.Second, "deadline of a call")
	flag.StringVar(&given.writeRequests, "write-requests", "", "file of messages that the closed loop mixes in")
	flag.StringVar(&given.writeMethod, "write-method", "", "/package.Service/Method of these messages")
	flag.StringVar(&given.writePath, "write-path", "", "HTTP path of these messages, instead of a method")
	flag.StringVar(&given.writeDatabase, "write-database", "", "user@name of the PostgreSQL database of these messages, instead of a method")
	flag.Float64Var(&given.writeShare, "write-share", 0.1, "share of the calls that send these messages")
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
	writes   *target
}

func targetOf(given options) *target {
	messages, err := messagesOf(given.requests)
	if err != nil {
		log.Fatalf("load: %s: %v", given.requests, err)
	}
	send, err := senderTo(given)
	if err != nil {
		log.Fatalf("load: %s: %v", given.address, err)
	}
	return &target{send: send, timeout: given.timeout, messages: messages}
}

// call sends one message drawn at random and records the answer.
func (t *target) call(into *record, caller int, due time.Time) {
	ctx, cancel := context.WithTimeout(context.Background(), t.timeout)
	defer cancel()
	replyBytes, err := t.send(ctx, caller, t.messages[rand.IntN(len(t.messages))])
	into.add(time.Since(due), replyBytes, err)
}

func (t *target) closedLoop(given options, duration time.Duration) *record {
	whole := &record{started: time.Now()}
	if t.writes != nil {
		whole.writes = &record{started: whole.started}
	}
	end := whole.started.Add(duration)
	var callers sync.WaitGroup
	for number := range given.concurrency {
		callers.Go(func() {
			own, ownWrites := &record{}, &record{}
			for now := time.Now(); now.Before(end); now = time.Now() {
				if t.writes != nil && rand.Float64() < given.writeShare {
					t.writes.call(ownWrites, number, now)
				} else {
					t.call(own, number, now)
				}
			}
			whole.merge(own)
			if whole.writes != nil {
				whole.writes.merge(ownWrites)
			}
		})
	}
	callers.Wait()
	whole.ended = time.Now()
	if whole.writes != nil {
		whole.writes.ended = whole.ended
	}
	return whole
}

func (t *target) openLoop(given options, duration time.Duration) *record {
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
