package akin

import (
	"context"
	"iter"
	"runtime"
	"time"
)

// The end of an import waits this long for an iterator that is reading.
const readTimeout = 500 * time.Millisecond

// requestReader reads the requests of an import in a goroutine of its own, because an iterator can
// block while the server ends the import.
type requestReader[Request any] struct {
	// requests is closed when there are no more.
	requests chan *Request
	cancel   context.CancelFunc
	ended    chan struct{}
	// The result of the iterator, valid when requests is closed.
	returned bool
	panicked any
}

// readRequests starts to read. The iterator ends early when its context ends.
func readRequests[Request any](
	ctx context.Context, requests func(context.Context) iter.Seq[*Request],
) *requestReader[Request] {
	ctx, cancel := context.WithCancel(ctx)
	reader := &requestReader[Request]{
		requests: make(chan *Request), cancel: cancel, ended: make(chan struct{}),
	}
	go reader.run(ctx, requests(ctx))
	return reader
}

func (r *requestReader[Request]) run(ctx context.Context, requests iter.Seq[*Request]) {
	defer close(r.ended)
	defer close(r.requests)
	defer func() {
		if !r.returned {
			r.panicked = recover()
		}
	}()
	for request := range requests {
		select {
		case r.requests <- request:
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
func (r *requestReader[Request]) check() {
	if r.panicked != nil {
		panic(r.panicked)
	}
	if !r.returned {
		runtime.Goexit()
	}
}

// stop ends the iterator. One that blocks ends when it returns or yields.
func (r *requestReader[Request]) stop() {
	r.cancel()
	timer := time.NewTimer(readTimeout)
	defer timer.Stop()
	select {
	case <-r.ended:
	case <-timer.C:
	}
}
