package akin_test

import (
	"context"
	"errors"
	"io"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	akin "akin.dev/go"
	"akin.dev/go/akinv1"
)

type duplicateStream = grpc.ServerStreamingServer[akinv1.FindDuplicatesResponse]

// analysisServer is a server whose methods call functions of the test.
type analysisServer struct {
	akinv1.UnimplementedAnalysisServiceServer
	observe func(context.Context)
	stream  func(duplicateStream) error
}

func (s analysisServer) ClassifyText(
	ctx context.Context, _ *akinv1.ClassifyTextRequest,
) (*akinv1.ClassifyTextResponse, error) {
	s.observe(ctx)
	return &akinv1.ClassifyTextResponse{}, nil
}

func (s analysisServer) ClusterItems(
	ctx context.Context, _ *akinv1.ClusterItemsRequest,
) (*akinv1.ClusterItemsResponse, error) {
	s.observe(ctx)
	return &akinv1.ClusterItemsResponse{}, nil
}

func (s analysisServer) FindDuplicates(_ *akinv1.FindDuplicatesRequest, stream duplicateStream) error {
	return s.stream(stream)
}

func dialAnalysis(t *testing.T, behavior analysisServer) *akin.Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	akinv1.RegisterAnalysisServiceServer(server, behavior)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return dial(t, listener.Addr().String())
}

func progressOf(itemCount int64) *akinv1.FindDuplicatesResponse {
	return &akinv1.FindDuplicatesResponse{Event: &akinv1.FindDuplicatesResponse_Progress{
		Progress: &akinv1.DuplicatesProgress{Coverage: &akinv1.Coverage{ItemCount: itemCount}},
	}}
}

func timeToDeadline(t *testing.T, ctx context.Context) time.Duration {
	t.Helper()
	deadline, ok := ctx.Deadline()
	if !ok {
		t.Error("there is no deadline")
	}
	return time.Until(deadline)
}

// Analyses of a whole catalog have a deadline of ten minutes, unless their context has another.
func TestAnalysesHaveALongDeadline(t *testing.T) {
	var remaining time.Duration
	observe := func(ctx context.Context) { remaining = timeToDeadline(t, ctx) }
	client := dialAnalysis(t, analysisServer{
		observe: observe,
		stream: func(stream duplicateStream) error {
			observe(stream.Context())
			return nil
		},
	})
	duplicates := func(ctx context.Context) error {
		stream, err := client.Analysis.FindDuplicates(ctx, &akinv1.FindDuplicatesRequest{})
		if err != nil {
			return err
		}
		if _, err := stream.Recv(); !errors.Is(err, io.EOF) {
			return err
		}
		return nil
	}
	clusters := func(ctx context.Context) error {
		_, err := client.Analysis.ClusterItems(ctx, &akinv1.ClusterItemsRequest{})
		return err
	}
	labels := func(ctx context.Context) error {
		_, err := client.Analysis.ClassifyText(ctx, &akinv1.ClassifyTextRequest{})
		return err
	}
	short, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for name, test := range map[string]struct {
		call     func(context.Context) error
		ctx      context.Context
		expected time.Duration
	}{
		"duplicates":             {duplicates, t.Context(), akin.AnalysisTimeout},
		"clusters":               {clusters, t.Context(), akin.AnalysisTimeout},
		"labels":                 {labels, t.Context(), akin.DefaultTimeout},
		"duplicates in a minute": {duplicates, short, time.Minute},
		"clusters in a minute":   {clusters, short, time.Minute},
	} {
		if err := test.call(test.ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if remaining > test.expected || remaining < test.expected-8*time.Second {
			t.Errorf("%s: the deadline is in %v", name, remaining)
		}
	}
}

// A response stream ends with its decoded error and is not retried.
func TestAResponseStreamEndsWithItsError(t *testing.T) {
	calls := 0
	client := dialAnalysis(t, analysisServer{stream: func(stream duplicateStream) error {
		calls++
		stream.Send(progressOf(2))
		return invalidRequest(t)
	}})
	stream, err := client.Analysis.FindDuplicates(t.Context(), &akinv1.FindDuplicatesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	response, err := stream.Recv()
	if err != nil || response.GetProgress().GetCoverage().GetItemCount() != 2 {
		t.Fatalf("got %v, %v", response, err)
	}
	_, err = stream.Recv()
	var decoded *akin.Error
	if !errors.As(err, &decoded) || decoded.Reason != "INVALID_REQUEST" || calls != 1 {
		t.Errorf("got %v after %d calls", err, calls)
	}
}

// A response stream ends when the deadline of its context passes.
func TestAResponseStreamKeepsItsDeadline(t *testing.T) {
	client := dialAnalysis(t, analysisServer{stream: func(stream duplicateStream) error {
		<-stream.Context().Done()
		return status.FromContextError(stream.Context().Err()).Err()
	}})
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	stream, err := client.Analysis.FindDuplicates(ctx, &akinv1.FindDuplicatesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("got %v", err)
	}
}
