package akin

import (
	"context"
	"iter"
	"runtime"
	"time"
)

// The end of an import waits this long for an iterator that is reading.
const readTimeout = 500 * time.Millisecond

// messageReader reads the messages of an import in a goroutine of its own, because an iterator can
// block while the server ends the import.
type messageReader[Message any] struct {
	// messages is closed when there are no more.
	messages chan *Message
	cancel   context.CancelFunc
	ended    chan struct{}
	// The result of the iterator, valid when messages is closed.
	returned bool
	panicked any
}

// readMessages starts to read. The iterator ends early when its context ends.
func readMessages[Message any](
	ctx context.Context, messages func(context.Context) iter.Seq[*Message],
) *messageReader[Message] {
	ctx, cancel := context.WithCancel(ctx)
	reader := &messageReader[Message]{
		messages: make(chan *Message), cancel: cancel, ended: make(chan struct{}),
	}
	go reader.run(ctx, messages(ctx))
	return reader
}

func (r *messageReader[Message]) run(ctx context.Context, messages iter.Seq[*Message]) {
	defer close(r.ended)
	defer close(r.messages)
	defer func() {
		if !r.returned {
			r.panicked = recover()
		}
	}()
	for message := range messages {
		select {
		case r.messages <- message:
		case <-ctx.Done():
			// The iterator stops here, so that its deferred functions run.
		}
		if ctx.Err() != nil {
			break
		}
	}
	r.returned = true
}

// check continues the panic of an iterator, or its runtime.Goexit, in the goroutine of the caller.
// The iterator must have ended.
func (r *messageReader[Message]) check() {
	if r.panicked != nil {
		panic(r.panicked)
	}
	if !r.returned {
		runtime.Goexit()
	}
}

// stop ends the iterator. One that blocks ends when it returns or yields.
func (r *messageReader[Message]) stop() {
	r.cancel()
	timer := time.NewTimer(readTimeout)
	defer timer.Stop()
	select {
	case <-r.ended:
	case <-timer.C:
	}
}
