package akin_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"strings"
	"testing"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"

	"akin.dev/go/akinv1"
)

type importStream = grpc.BidiStreamingServer[akinv1.ImportItemsRequest, akinv1.ImportItemsResponse]

// echo answers every item with its id and a message; sizes are those of the messages that came.
func echo(sizes *[]int, message string) func(importStream) error {
	return func(stream importStream) error {
		for {
			request, err := stream.Recv()
			if errors.Is(err, io.EOF) {
				return nil
			}
			if err != nil {
				return err
			}
			*sizes = append(*sizes, len(request.GetItems()))
			response := &akinv1.ImportItemsResponse{}
			for _, item := range request.GetItems() {
				result := &akinv1.ItemResult{ItemId: item.GetItemId(), Message: message}
				response.Results = append(response.Results, result)
			}
			if err := stream.Send(response); err != nil {
				return err
			}
		}
	}
}

func numbered(count int, text string) iter.Seq[*akinv1.Item] {
	return func(yield func(*akinv1.Item) bool) {
		for number := range count {
			if !yield(&akinv1.Item{ItemId: fmt.Sprint(number), Text: text}) {
				return
			}
		}
	}
}

func TestAnImportAnswersInOrder(t *testing.T) {
	var sizes []int
	// Replies and requests larger than what the network holds back must not wait for each other.
	client := dialFake(t, fake{importWith: echo(&sizes, strings.Repeat("m", 1000))})
	next := 0
	for result, err := range client.Import(t.Context(), numbered(3000, strings.Repeat("t", 5000))) {
		if err != nil {
			t.Fatal(err)
		}
		if result.GetItemId() != fmt.Sprint(next) {
			t.Fatalf("got %s, want %d", result.GetItemId(), next)
		}
		next++
	}
	if next != 3000 || len(sizes) != 12 || sizes[0] != 256 {
		t.Errorf("%d results of messages %v", next, sizes)
	}
}

func TestLargeItemsMakeSmallerMessages(t *testing.T) {
	var sizes []int
	client := dialFake(t, fake{importWith: echo(&sizes, "")})
	for _, err := range client.Import(t.Context(), numbered(5, strings.Repeat("t", 1<<20))) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(sizes) != "[3 2]" {
		t.Errorf("messages of %v", sizes)
	}
}

func TestAnImportOfNothingHasNoResults(t *testing.T) {
	var sizes []int
	client := dialFake(t, fake{importWith: echo(&sizes, "")})
	for result, err := range client.Import(t.Context(), numbered(0, "")) {
		t.Errorf("got %v, %v", result, err)
	}
}

func TestAnImportCanBeAdjustedAndLeft(t *testing.T) {
	catalog, ended := "", make(chan error, 1)
	client := dialFake(t, fake{importWith: func(stream importStream) error {
		request, _ := stream.Recv()
		catalog = request.GetCatalog()
		stream.Send(&akinv1.ImportItemsResponse{Results: make([]*akinv1.ItemResult, 2)})
		<-stream.Context().Done()
		ended <- stream.Context().Err()
		return stream.Context().Err()
	}})
	adjust := func(request *akinv1.ImportItemsRequest) { request.Catalog = "books" }
	for range client.Import(t.Context(), numbered(2, "x"), adjust) {
		break
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the stream ended with %v", err)
	}
	if catalog != "books" {
		t.Errorf("the catalog was %q", catalog)
	}
}

func TestAnImportEndsWithItsError(t *testing.T) {
	for name, end := range map[string]struct {
		err  error
		code codes.Code
	}{
		"refused": {status.Error(codes.NotFound, "no such catalog"), codes.NotFound},
		"early":   {nil, codes.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			client := dialFake(t, fake{importWith: func(stream importStream) error {
				stream.Recv()
				return end.err
			}})
			var last error
			seen := 0
			for _, err := range client.Import(t.Context(), numbered(5000, "x")) {
				last = err
				seen++
			}
			if seen != 1 || status.Code(last) != end.code {
				t.Errorf("%d results, the last with %v", seen, last)
			}
		})
	}
}
