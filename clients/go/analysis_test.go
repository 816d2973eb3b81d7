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

// analyst is a server whose calls are the test's functions.
type analyst struct {
	akinv1.UnimplementedAnalysisServiceServer
	seen   func(context.Context)
	stream func(duplicateStream) error
}

func (a analyst) ClassifyText(
	ctx context.Context, _ *akinv1.ClassifyTextRequest,
) (*akinv1.ClassifyTextResponse, error) {
	a.seen(ctx)
	return &akinv1.ClassifyTextResponse{}, nil
}

func (a analyst) ClusterItems(
	ctx context.Context, _ *akinv1.ClusterItemsRequest,
) (*akinv1.ClusterItemsResponse, error) {
	a.seen(ctx)
	return &akinv1.ClusterItemsResponse{}, nil
}

func (a analyst) FindDuplicates(_ *akinv1.FindDuplicatesRequest, stream duplicateStream) error {
	return a.stream(stream)
}

func dialAnalyst(t *testing.T, behaviour analyst) *akin.Client {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer()
	akinv1.RegisterAnalysisServiceServer(server, behaviour)
	go server.Serve(listener)
	t.Cleanup(server.Stop)
	return dial(t, listener.Addr().String())
}

func remaining(t *testing.T, ctx context.Context) time.Duration {
	t.Helper()
	deadline, has := ctx.Deadline()
	if !has {
		t.Error("there is no deadline")
	}
	return time.Until(deadline)
}

func TestWhatGoesThroughACatalogHasMinutes(t *testing.T) {
	var left time.Duration
	seen := func(ctx context.Context) { left = remaining(t, ctx) }
	client := dialAnalyst(t, analyst{seen: seen, stream: func(stream duplicateStream) error {
		seen(stream.Context())
		return nil
	}})
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
	for name, each := range map[string]struct {
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
		if err := each.call(each.ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if left > each.expected || left < each.expected-8*time.Second {
			t.Errorf("%s: the deadline is in %v", name, left)
		}
	}
}

func TestAStreamOfAnswersEndsWithItsError(t *testing.T) {
	calls := 0
	client := dialAnalyst(t, analyst{stream: func(stream duplicateStream) error {
		calls++
		stream.Send(&akinv1.FindDuplicatesResponse{Extent: &akinv1.Extent{ItemCount: 2}})
		return invalid(t)
	}})
	stream, err := client.Analysis.FindDuplicates(t.Context(), &akinv1.FindDuplicatesRequest{})
	if err != nil {
		t.Fatal(err)
	}
	if reply, err := stream.Recv(); err != nil || reply.GetExtent().GetItemCount() != 2 {
		t.Fatalf("got %v, %v", reply, err)
	}
	_, err = stream.Recv()
	var decoded *akin.Error
	if !errors.As(err, &decoded) || decoded.Reason != "INVALID_REQUEST" || calls != 1 {
		t.Errorf("got %v after %d calls", err, calls)
	}
}

func TestAStreamOfAnswersKeepsItsDeadline(t *testing.T) {
	client := dialAnalyst(t, analyst{stream: func(stream duplicateStream) error {
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
