package akin

import (
	"context"
	"strconv"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/metadata"
)

const (
	requestIDKey    = "x-request-id"
	serverTimingKey = "server-timing"
)

// CallInfo names a call, and receives what the server says about it. Use one for each call: see
// WithCallInfo.
type CallInfo struct {
	// RequestID is the id of the call, which the log of the server has. Before the call, it is the id
	// to send: 1 to 128 visible ASCII characters. The server replaces any other id. If it is empty,
	// the server makes one. After the call, it is the id that the server used.
	RequestID string

	// ServerTiming has the duration of each stage of a successful call in the server, such as embed
	// and search. total is the whole call.
	ServerTiming map[string]time.Duration
}

type callInfoKey struct{}

// WithCallInfo returns a context for one call, which sends the request id of info and sets info when
// the call ends. A stream ends when it has returned its last message or an error.
func WithCallInfo(ctx context.Context, info *CallInfo) context.Context {
	return context.WithValue(ctx, callInfoKey{}, info)
}

// sendRequestID returns the CallInfo of a context, which can be nil, and a context that sends its
// request id.
func sendRequestID(ctx context.Context) (*CallInfo, context.Context) {
	info, _ := ctx.Value(callInfoKey{}).(*CallInfo)
	if info != nil && info.RequestID != "" {
		ctx = metadata.AppendToOutgoingContext(ctx, requestIDKey, info.RequestID)
	}
	return info, ctx
}

// read takes over the trailing metadata of a call that has ended.
func (i *CallInfo) read(trailer metadata.MD) {
	if i != nil {
		i.RequestID = first(trailer, requestIDKey)
		i.ServerTiming = parseTiming(first(trailer, serverTimingKey))
	}
}

func first(trailer metadata.MD, key string) string {
	if values := trailer.Get(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// parseTiming returns the entries of a Server-Timing header (W3C) that have a duration. A proxy may
// add others.
func parseTiming(header string) map[string]time.Duration {
	timing := map[string]time.Duration{}
	for entry := range strings.SplitSeq(header, ",") {
		name, milliseconds, _ := strings.Cut(strings.TrimSpace(entry), ";dur=")
		if value, err := strconv.ParseFloat(milliseconds, 64); err == nil {
			timing[name] = time.Duration(value * float64(time.Millisecond))
		}
	}
	return timing
}

// endCall sets info, which can be nil, and returns the decoded error of a call with its request id.
func endCall(info *CallInfo, trailer metadata.MD, err error) error {
	info.read(trailer)
	err = decode(err)
	if decoded, ok := err.(*Error); ok {
		decoded.RequestID = first(trailer, requestIDKey)
	}
	return err
}

// decodeStream decodes the errors of a stream, and sets the CallInfo of its context at its end.
func decodeStream(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	info, ctx := sendRequestID(ctx)
	stream, err := open(ctx, desc, conn, method, opts...)
	if err != nil {
		return nil, decode(err)
	}
	return decodingStream{stream, info}, nil
}

type decodingStream struct {
	grpc.ClientStream
	info *CallInfo
}

// SendMsg implements grpc.ClientStream.
func (s decodingStream) SendMsg(message any) error {
	return decode(s.ClientStream.SendMsg(message))
}

// RecvMsg implements grpc.ClientStream.
func (s decodingStream) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	if err == nil {
		return nil
	}
	return endCall(s.info, s.Trailer(), err)
}
