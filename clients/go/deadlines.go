package akin

import (
	"context"
	"time"

	"google.golang.org/grpc"

	"akin.dev/go/akinv1"
)

// limit gives a call that has no deadline the one of its method, or else the given one; 0 is none.
func limit(
	ctx context.Context, method string, timeout time.Duration,
) (context.Context, context.CancelFunc) {
	switch method {
	case akinv1.AnalysisService_FindDuplicates_FullMethodName,
		akinv1.AnalysisService_FindOutliers_FullMethodName,
		akinv1.AnalysisService_ClusterItems_FullMethodName:
		timeout = AnalysisTimeout
	}
	if _, has := ctx.Deadline(); has || timeout <= 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// limitStream gives a stream of answers its deadline; one of requests, an import, has none.
func limitStream(
	ctx context.Context, desc *grpc.StreamDesc, conn *grpc.ClientConn, method string,
	open grpc.Streamer, opts ...grpc.CallOption,
) (grpc.ClientStream, error) {
	if desc.ClientStreams {
		return open(ctx, desc, conn, method, opts...)
	}
	ctx, cancel := limit(ctx, method, 0)
	stream, err := open(ctx, desc, conn, method, opts...)
	if err != nil {
		cancel()
		return nil, err
	}
	return limitedStream{stream, cancel}, nil
}

// limitedStream lets go of its deadline once it has ended.
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
