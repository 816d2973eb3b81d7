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

type itemStream = grpc.BidiStreamingServer[akinv1.ImportItemsRequest, akinv1.ImportItemsResponse]

type userStream = grpc.BidiStreamingServer[akinv1.ImportUsersRequest, akinv1.ImportUsersResponse]

// echo returns a handler that responds to each item with its id and a message, and records the number
// of items in each request.
func echo(sizes *[]int, message string) func(itemStream) error {
	return func(stream itemStream) error {
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

func numberedItems(count int, text string) iter.Seq[*akinv1.Item] {
	return func(yield func(*akinv1.Item) bool) {
		for number := range count {
			if !yield(&akinv1.Item{ItemId: fmt.Sprint(number), Text: text}) {
				return
			}
		}
	}
}

// An import of many large messages yields the results in order and does not block.
func TestAnImportYieldsResultsInOrder(t *testing.T) {
	var sizes []int
	// The requests and replies are larger than the buffers of the network.
	client := dialRecommender(t, recommenderServer{importItems: echo(&sizes, strings.Repeat("m", 1000))})
	next := 0
	for result, err := range client.Import(t.Context(), numberedItems(3000, strings.Repeat("t", 5000))) {
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

// Users are imported like items, with the settings of the caller in every message.
func TestUsersAreImportedLikeItems(t *testing.T) {
	var sizes []int
	client := dialRecommender(t, recommenderServer{importUsers: func(stream userStream) error {
		for {
			request, err := stream.Recv()
			if err != nil {
				return nil
			}
			sizes = append(sizes, len(request.GetUsers()))
			response := &akinv1.ImportUsersResponse{}
			for _, user := range request.GetUsers() {
				id := request.GetCatalog() + "/" + user.GetUserId()
				response.Results = append(response.Results, &akinv1.UserResult{UserId: id})
			}
			stream.Send(response)
		}
	}})
	users := func(yield func(*akinv1.User) bool) {
		for number := 0; number < 600 && yield(&akinv1.User{UserId: fmt.Sprint(number)}); number++ {
		}
	}
	adjust := func(request *akinv1.ImportUsersRequest) { request.Catalog = "books" }
	next := 0
	for result, err := range client.ImportUsers(t.Context(), users, adjust) {
		if err != nil {
			t.Fatal(err)
		}
		if result.GetUserId() != fmt.Sprintf("books/%d", next) {
			t.Fatalf("got %s, want %d", result.GetUserId(), next)
		}
		next++
	}
	if next != 600 || fmt.Sprint(sizes) != "[256 256 88]" {
		t.Errorf("%d results of messages %v", next, sizes)
	}
}

// Large items are sent in messages of at most 4 MiB.
func TestLargeItemsMakeSmallerMessages(t *testing.T) {
	var sizes []int
	client := dialRecommender(t, recommenderServer{importItems: echo(&sizes, "")})
	for _, err := range client.Import(t.Context(), numberedItems(5, strings.Repeat("t", 1<<20))) {
		if err != nil {
			t.Fatal(err)
		}
	}
	if fmt.Sprint(sizes) != "[3 2]" {
		t.Errorf("messages of %v", sizes)
	}
}

// An import without items yields no results and no error.
func TestAnEmptyImportHasNoResults(t *testing.T) {
	var sizes []int
	client := dialRecommender(t, recommenderServer{importItems: echo(&sizes, "")})
	for result, err := range client.Import(t.Context(), numberedItems(0, "")) {
		t.Errorf("got %v, %v", result, err)
	}
}

// Leaving the loop over the results cancels the import.
func TestLeavingAnImportCancelsIt(t *testing.T) {
	catalog, ended := "", make(chan error, 1)
	client := dialRecommender(t, recommenderServer{importItems: func(stream itemStream) error {
		request, _ := stream.Recv()
		catalog = request.GetCatalog()
		stream.Send(&akinv1.ImportItemsResponse{Results: make([]*akinv1.ItemResult, 2)})
		<-stream.Context().Done()
		ended <- stream.Context().Err()
		return stream.Context().Err()
	}})
	adjust := func(request *akinv1.ImportItemsRequest) { request.Catalog = "books" }
	for range client.Import(t.Context(), numberedItems(2, "x"), adjust) {
		break
	}
	if err := <-ended; !errors.Is(err, context.Canceled) {
		t.Errorf("the stream ended with %v", err)
	}
	if catalog != "books" {
		t.Errorf("the catalog is %q", catalog)
	}
}

// An import yields the error of its stream once and ends. A stream that ends too early is an error.
func TestAnImportEndsWithItsError(t *testing.T) {
	for name, end := range map[string]struct {
		err  error
		code codes.Code
	}{
		"rejected": {status.Error(codes.NotFound, "no such catalog"), codes.NotFound},
		"early":    {nil, codes.Internal},
	} {
		t.Run(name, func(t *testing.T) {
			client := dialRecommender(t, recommenderServer{importItems: func(stream itemStream) error {
				stream.Recv()
				return end.err
			}})
			var last error
			results := 0
			for _, err := range client.Import(t.Context(), numberedItems(5000, "x")) {
				last = err
				results++
			}
			if results != 1 || status.Code(last) != end.code {
				t.Errorf("%d results, the last with %v", results, last)
			}
		})
	}
}

// blockedItems yields the items of one message and more, and then blocks until it is released.
type blockedItems struct {
	blocked chan struct{}
	release chan struct{}
	read    int
	ended   chan struct{}
}

func newBlockedItems() *blockedItems {
	return &blockedItems{
		blocked: make(chan struct{}), release: make(chan struct{}), ended: make(chan struct{}),
	}
}

func (b *blockedItems) items(yield func(*akinv1.Item) bool) {
	defer close(b.ended)
	for b.read = 1; yield(&akinv1.Item{ItemId: "a", Text: "x"}); b.read++ {
		if b.read == 300 {
			close(b.blocked)
			<-b.release
		}
	}
}

// An error of the server is yielded while the items block. They are then read no further, and no
// goroutine remains.
func TestAnErrorArrivesAlthoughTheItemsBlock(t *testing.T) {
	source := newBlockedItems()
	client := dialRecommender(t, recommenderServer{importItems: func(stream itemStream) error {
		stream.Recv()
		<-source.blocked
		return status.Error(codes.NotFound, "no such catalog")
	}})
	var last error
	for _, err := range client.Import(t.Context(), source.items) {
		last = err
	}
	if status.Code(last) != codes.NotFound {
		t.Errorf("the import ended with %v", last)
	}
	close(source.release)
	<-source.ended
	if source.read > 302 {
		t.Errorf("%d items were read", source.read)
	}
}

// An error ends the items even if there is no end of them.
func TestAnErrorEndsEndlessItems(t *testing.T) {
	client := dialRecommender(t, recommenderServer{importItems: func(stream itemStream) error {
		stream.Recv()
		return status.Error(codes.NotFound, "no such catalog")
	}})
	source := newBlockedItems()
	close(source.release)
	for range client.Import(t.Context(), source.items) {
	}
	<-source.ended
}

// Leaving the loop over the results ends the items.
func TestLeavingAnImportEndsTheItems(t *testing.T) {
	var sizes []int
	client := dialRecommender(t, recommenderServer{importItems: echo(&sizes, "")})
	source := newBlockedItems()
	for range client.Import(t.Context(), source.items) {
		break
	}
	close(source.release)
	<-source.ended
	if source.read > 302 {
		t.Errorf("%d items were read", source.read)
	}
}

// A panic of the items reaches the caller, as if they ran in its goroutine.
func TestAPanicOfTheItemsReachesTheCaller(t *testing.T) {
	var sizes []int
	client := dialRecommender(t, recommenderServer{importItems: echo(&sizes, "")})
	defer func() {
		if cause := recover(); cause != "unreadable" {
			t.Errorf("recovered %v", cause)
		}
	}()
	items := func(yield func(*akinv1.Item) bool) { panic("unreadable") }
	for range client.Import(t.Context(), items) {
	}
	t.Error("the import ended")
}
