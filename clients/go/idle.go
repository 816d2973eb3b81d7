package akin

import (
	"context"
	"fmt"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	healthpb "google.golang.org/grpc/health/grpc_health_v1"
	"google.golang.org/grpc/status"
)

// watchStream ends a stream whose server has become silent. A server can need minutes for a message,
// for example while its embedding provider limits the rate. Therefore, a silent server is asked for
// its health before the stream ends.
func (s *settings) watchStream(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	if s.idleTimeout <= 0 {
		return open(ctx, desc, conn, method, opts...)
	}
	ctx, cancel := context.WithCancel(ctx)
	watch := &idleWatch{conn: conn, timeout: s.idleTimeout, cancel: cancel}
	watch.restart()
	go watch.run(ctx)
	stream, err := open(ctx, desc, conn, method, opts...)
	if err != nil {
		cancel()
		return nil, watch.explain(err)
	}
	return watchedStream{stream, watch}, nil
}

// idleWatch cancels a stream if the server sends no message for half of the timeout, and then does
// not answer a health check in the other half.
type idleWatch struct {
	conn        *grpc.ClientConn
	timeout     time.Duration
	cancel      context.CancelFunc
	lastMessage atomic.Pointer[time.Time]
	silence     atomic.Pointer[Error]
}

func (w *idleWatch) restart() {
	now := time.Now()
	w.lastMessage.Store(&now)
}

func (w *idleWatch) run(ctx context.Context) {
	timer := time.NewTimer(w.timeout / 2)
	defer timer.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-timer.C:
		}
		last := w.lastMessage.Load()
		if time.Since(*last) >= w.timeout/2 {
			if w.isHealthy(ctx) {
				w.restart()
			} else if last == w.lastMessage.Load() {
				w.end()
				return
			}
		}
		timer.Reset(time.Until(w.lastMessage.Load().Add(w.timeout / 2)))
	}
}

// isHealthy reports whether the server answers a health check. Each answer counts, even an error.
func (w *idleWatch) isHealthy(ctx context.Context) bool {
	// The check is a call of its own, which the CallInfo of the stream is not about.
	ctx, cancel := context.WithTimeout(WithCallInfo(ctx, nil), w.timeout/2)
	defer cancel()
	_, err := healthpb.NewHealthClient(w.conn).Check(ctx, &healthpb.HealthCheckRequest{})
	return status.Code(err) != codes.DeadlineExceeded
}

// end cancels the stream with an error that names the server.
func (w *idleWatch) end() {
	w.silence.Store(&Error{
		Code: codes.Unavailable,
		Message: fmt.Sprintf(
			"the server at %s has not responded for %g seconds", w.conn.Target(), w.timeout.Seconds(),
		),
	})
	w.cancel()
}

// explain returns the reason why the watch ended the stream, otherwise the given error.
func (w *idleWatch) explain(err error) error {
	if silence := w.silence.Load(); silence != nil {
		return silence
	}
	return err
}

type watchedStream struct {
	grpc.ClientStream
	watch *idleWatch
}

// RecvMsg implements grpc.ClientStream.
func (s watchedStream) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	if err != nil {
		s.watch.cancel()
		return s.watch.explain(err)
	}
	s.watch.restart()
	return nil
}
