package akin

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"akin.dev/go/akinv1"
)

// withDefaultDeadline returns a context with a deadline. If the given context has none, the deadline
// is AnalysisTimeout for analyses of a whole catalog, and the given timeout for other methods. A
// timeout of 0 sets none.
func withDefaultDeadline(
	ctx context.Context, method string, timeout time.Duration,
) (context.Context, context.CancelFunc) {
	switch method {
	case akinv1.AnalysisService_FindDuplicates_FullMethodName,
		akinv1.AnalysisService_FindOutliers_FullMethodName,
		akinv1.AnalysisService_ClusterItems_FullMethodName:
		timeout = AnalysisTimeout
	}
	if _, ok := ctx.Deadline(); ok || timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// limitStream sets the deadline of a response stream. Imports have request streams and no default
// deadline.
func limitStream(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	if desc.ClientStreams {
		return open(ctx, desc, conn, method, opts...)
	}
	ctx, cancel := withDefaultDeadline(ctx, method, 0)
	stream, err := open(ctx, desc, conn, method, opts...)
	if err != nil {
		cancel()
		return nil, err
	}
	return limitedStream{stream, cancel}, nil
}

// limitedStream releases its deadline when it ends.
type limitedStream struct {
	grpc.ClientStream
	cancel context.CancelFunc
}

// RecvMsg implements grpc.ClientStream.
func (s limitedStream) RecvMsg(message any) error {
	err := s.ClientStream.RecvMsg(message)
	if err != nil {
		s.cancel()
	}
	return err
}
