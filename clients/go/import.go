package akin

import (
	"context"
	"errors"
	"io"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"

	"akin.dev/go/akinv1"
)

const (
	// Messages of this many items are small enough to show progress and large enough for the server
	// to store many items at once.
	maxBatchLength = 256

	// Servers reject messages of more than 16 MiB.
	maxBatchBytes = 4 << 20

	// This many messages without a response keep the server busy while responses travel.
	maxPendingMessages = 4
)

// Import stores many items and yields one result for each, in order. It reads the items in another
// goroutine while earlier results arrive. An invalid item does not affect the others: its result has a
// code other than 0. An error ends the import, even while the items block. Items whose results came
// before it are stored. Items that still block half a second after the end are read no further; their
// goroutine ends when they yield or return.
//
// Each function of adjust can change every request message before it is sent, for example its
// catalog, require_indexed or validate_only. The only deadline is that of the context. The import
// starts when the results are ranged over, and leaving the loop early cancels it.
func (c *Client) Import(
	ctx context.Context, items iter.Seq[*akinv1.Item], adjust ...func(*akinv1.ImportItemsRequest),
) iter.Seq2[*akinv1.ItemResult, error] {
	request := func(batch []*akinv1.Item) *akinv1.ImportItemsRequest {
		return adjusted(&akinv1.ImportItemsRequest{Items: batch}, adjust)
	}
	results := func(response *akinv1.ImportItemsResponse, _ int) []*akinv1.ItemResult {
		return response.GetResults()
	}
	return runImport(ctx, c.Recommender.ImportItems, batches(items, request), results)
}

// ImportUsers stores many users. It works like Import.
func (c *Client) ImportUsers(
	ctx context.Context, users iter.Seq[*akinv1.User], adjust ...func(*akinv1.ImportUsersRequest),
) iter.Seq2[*akinv1.UserResult, error] {
	request := func(batch []*akinv1.User) *akinv1.ImportUsersRequest {
		return adjusted(&akinv1.ImportUsersRequest{Users: batch}, adjust)
	}
	results := func(response *akinv1.ImportUsersResponse, _ int) []*akinv1.UserResult {
		return response.GetResults()
	}
	return runImport(ctx, c.Recommender.ImportUsers, batches(users, request), results)
}

func adjusted[Request any](request *Request, adjust []func(*Request)) *Request {
	for _, change := range adjust {
		change(request)
	}
	return request
}

// importMessage is a request of an import and the number of its resources.
type importMessage[Request any] struct {
	request *Request
	length  int
}

// batches returns an iterator over a message for each batch of up to maxBatchLength resources and
// maxBatchBytes bytes. A larger resource is a batch of its own. The iterator reads no further resource
// when its context has ended.
func batches[Resource proto.Message, Request any](
	resources iter.Seq[Resource], request func([]Resource) *Request,
) func(context.Context) iter.Seq[*importMessage[Request]] {
	return func(ctx context.Context) iter.Seq[*importMessage[Request]] {
		return func(yield func(*importMessage[Request]) bool) {
			batch, size := []Resource(nil), 0
			flush := func() bool {
				message := &importMessage[Request]{request(batch), len(batch)}
				batch, size = nil, 0
				return yield(message)
			}
			for resource := range resources {
				if ctx.Err() != nil {
					return
				}
				length := proto.Size(resource)
				if len(batch) > 0 && size+length > maxBatchBytes && !flush() {
					return
				}
				batch, size = append(batch, resource), size+length
				if len(batch) == maxBatchLength && !flush() {
					return
				}
			}
			if len(batch) > 0 {
				flush()
			}
		}
	}
}

// openStream opens the stream of an import.
type openStream[Request, Response any] func(
	context.Context, ...grpc.CallOption,
) (grpc.BidiStreamingClient[Request, Response], error)

// importResults returns the results in a response. The position is the number of resources in all
// earlier messages.
type importResults[Response, Result any] func(response *Response, position int) []*Result

// runImport sends the messages and yields the results of all responses.
func runImport[Request, Response, Result any](
	ctx context.Context, open openStream[Request, Response],
	messages func(context.Context) iter.Seq[*importMessage[Request]],
	results importResults[Response, Result],
) iter.Seq2[*Result, error] {
	return func(yield func(*Result, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := open(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		reader := readMessages(ctx, messages)
		defer reader.stop()
		run := importRun[Request, Response, Result]{
			stream: stream, results: results, yield: yield, reader: reader,
			// Holds a reply to every pending message, and the error that ends the stream.
			replies: make(chan importReply[Response], maxPendingMessages+1),
		}
		go run.receive()
		if run.sendAll() {
			run.finish()
		}
	}
}

// importRun is a running import. The goroutine of the caller sends the requests and yields the
// results, as iterators require. Another one receives the replies: a server that cannot deliver its
// replies stops reading, and a send would then block forever.
type importRun[Request, Response, Result any] struct {
	stream  grpc.BidiStreamingClient[Request, Response]
	results importResults[Response, Result]
	yield   func(*Result, error) bool
	reader  *messageReader[importMessage[Request]]
	replies chan importReply[Response]
	// The lengths of the messages without a reply, and the number of resources in all earlier ones.
	pending  []int
	position int
}

type importReply[Response any] struct {
	response *Response
	err      error
}

// receive passes on replies until the stream ends. It never blocks, since the reader can be gone. A
// full channel means that the server sent more responses than it received messages; the rest is
// ignored.
func (r *importRun[Request, Response, Result]) receive() {
	defer close(r.replies)
	for {
		response, err := r.stream.Recv()
		if errors.Is(err, io.EOF) {
			return
		}
		select {
		case r.replies <- importReply[Response]{response, err}:
		default:
			return
		}
		if err != nil {
			return
		}
	}
}

// sendAll sends the requests, yields the replies that arrive, and reports whether the import
// continues.
func (r *importRun[Request, Response, Result]) sendAll() bool {
	for {
		messages := r.reader.messages
		if len(r.pending) == maxPendingMessages {
			messages = nil // receiving from it blocks
		}
		select {
		case reply := <-r.replies:
			if !r.yieldReply(reply) {
				return false
			}
		case message, ok := <-messages:
			if !ok {
				r.reader.check()
				return true
			}
			if err := r.stream.Send(message.request); err != nil && !errors.Is(err, io.EOF) {
				r.yield(nil, err)
				return false
			}
			// If the stream has ended, the last reply has the reason.
			r.pending = append(r.pending, message.length)
		}
	}
}

// finish closes the request side and yields the remaining replies.
func (r *importRun[Request, Response, Result]) finish() {
	if err := r.stream.CloseSend(); err != nil {
		r.yield(nil, decode(err))
		return
	}
	for len(r.pending) > 0 {
		if !r.yieldReply(<-r.replies) {
			return
		}
	}
	// The call can end with an error even after the last response.
	if last, ok := <-r.replies; ok {
		r.yieldReply(last)
	}
}

// yieldReply yields the results of a reply and reports whether the import continues.
func (r *importRun[Request, Response, Result]) yieldReply(reply importReply[Response]) bool {
	if reply.err == nil && reply.response == nil {
		// A closed channel returns the zero value.
		reply.err = &Error{Code: codes.Internal, Message: "the server ended the import early"}
	}
	if reply.err != nil {
		r.yield(nil, reply.err)
		return false
	}
	results := r.results(reply.response, r.position)
	if len(r.pending) > 0 { // a server can send more responses than it received messages
		r.position += r.pending[0]
		r.pending = r.pending[1:]
	}
	for _, result := range results {
		if !r.yield(result, nil) {
			return false
		}
	}
	return true
}
