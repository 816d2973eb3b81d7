package akin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"slices"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/timestamppb"

	akin "akin.dev/go"
	"akin.dev/go/akinv1"
)

type interactionStream = grpc.BidiStreamingServer[
	akinv1.ImportInteractionsRequest, akinv1.ImportInteractionsResponse]

// interactionServer is a server whose methods call functions of the test.
type interactionServer struct {
	akinv1.UnimplementedInteractionServiceServer
	record             func(*akinv1.RecordInteractionsRequest) error
	importInteractions func(interactionStream) error
}

func (s interactionServer) RecordInteractions(
	_ context.Context, request *akinv1.RecordInteractionsRequest,
) (*akinv1.RecordInteractionsResponse, error) {
	return &akinv1.RecordInteractionsResponse{}, s.record(request)
}

func (s interactionServer) ImportInteractions(stream interactionStream) error {
	return s.importInteractions(stream)
}

func dialInteractions(t *testing.T, behavior interactionServer) *akin.Client {
	t.Helper()
	register := func(server *grpc.Server) {
		akinv1.RegisterInteractionServiceServer(server, behavior)
	}
	return dial(t, serveRecommender(t, recommenderServer{}, register))
}

// failTwice returns a handler that records the interactions of each request, and rejects the first and
// the last one of each.
func failTwice(requests *[]*akinv1.ImportInteractionsRequest) func(interactionStream) error {
	return func(stream interactionStream) error {
		for {
			request, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			*requests = append(*requests, request)
			last := int32(len(request.GetInteractions())) - 1
			response := &akinv1.ImportInteractionsResponse{
				Failures: []*akinv1.InteractionFailure{{Position: 0}, {Position: last}},
			}
			if err := stream.Send(response); err != nil {
				return err
			}
		}
	}
}

func endlessInteractions(ended chan<- struct{}) iter.Seq[*akinv1.Interaction] {
	return func(yield func(*akinv1.Interaction) bool) {
		defer close(ended)
		for yield(&akinv1.Interaction{UserId: "u", ItemId: "a", Type: "VIEW"}) {
		}
	}
}

// An interaction to record without a time has the same one at each attempt, and the caller's message is
// not changed. A time of the caller is kept.
func TestARetryRecordsTheSameTime(t *testing.T) {
	var attempts []*akinv1.RecordInteractionsRequest
	client := dialInteractions(t, interactionServer{
		record: func(request *akinv1.RecordInteractionsRequest) error {
			attempts = append(attempts, request)
			if len(attempts) == 1 {
				return status.Error(codes.Unavailable, "restarting")
			}
			return nil
		},
	})
	start := time.Now()
	request := &akinv1.RecordInteractionsRequest{Catalog: "books", Interactions: []*akinv1.Interaction{
		{UserId: "u", ItemId: "a", Type: "LIKE"},
		{UserId: "u", ItemId: "b", Type: "LIKE", Time: &timestamppb.Timestamp{Seconds: 7}},
	}}
	if _, err := client.Interactions.RecordInteractions(t.Context(), request); err != nil {
		t.Fatal(err)
	}
	if len(attempts) != 2 {
		t.Fatalf("%d attempts", len(attempts))
	}
	first, second := attempts[0].GetInteractions(), attempts[1].GetInteractions()
	if sent := first[0].GetTime(); sent.AsTime().Before(start) || !sent.AsTime().Equal(second[0].GetTime().AsTime()) {
		t.Errorf("the times are %v and %v", sent, second[0].GetTime())
	}
	if attempts[0].GetCatalog() != "books" || first[0].GetItemId() != "a" || first[1].GetTime().GetSeconds() != 7 {
		t.Errorf("the request is %v", attempts[0])
	}
	if request.GetInteractions()[0].GetTime() != nil {
		t.Error("the request of the caller was changed")
	}
}

// An import yields the response to each message, with the positions of failures in the import, and with
// the settings of the caller in every message.
func TestFailuresHaveTheirPositionsInTheImport(t *testing.T) {
	var requests []*akinv1.ImportInteractionsRequest
	client := dialInteractions(t, interactionServer{importInteractions: failTwice(&requests)})
	interactions := make([]*akinv1.Interaction, 600)
	for number := range interactions {
		interactions[number] = &akinv1.Interaction{UserId: "u", ItemId: fmt.Sprint(number), Type: "VIEW"}
	}
	adjust := func(request *akinv1.ImportInteractionsRequest) { request.Catalog = "books" }
	var positions []int32
	for response, err := range client.ImportInteractions(t.Context(), slices.Values(interactions), adjust) {
		if err != nil {
			t.Fatal(err)
		}
		for _, failure := range response.GetFailures() {
			positions = append(positions, failure.GetPosition())
		}
	}
	if fmt.Sprint(positions) != "[0 255 256 511 512 599]" {
		t.Errorf("the positions are %v", positions)
	}
	for _, request := range requests {
		if request.GetCatalog() != "books" || request.GetInteractions()[0].GetTime() == nil {
			t.Errorf("the first interaction is %v in %q", request.GetInteractions()[0], request.GetCatalog())
		}
	}
}

// An error of the server ends an import of endless interactions, and the interactions.
func TestAnErrorEndsEndlessInteractions(t *testing.T) {
	client := dialInteractions(t, interactionServer{importInteractions: func(stream interactionStream) error {
		stream.Recv()
		return status.Error(codes.NotFound, "no such catalog")
	}})
	ended := make(chan struct{})
	var last error
	for _, err := range client.ImportInteractions(t.Context(), endlessInteractions(ended)) {
		last = err
	}
	if status.Code(last) != codes.NotFound {
		t.Errorf("the import ended with %v", last)
	}
	<-ended
}
