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
	importItems = 256

	// Well below the 16 MiB at which a server refuses a message.
	importBytes = 4 << 20

	// Enough to keep a server at work while replies travel.
	importWindow = 4
)

// Import stores many items, and yields one result for each, in order, while items are still being
// read. An item that is refused fails alone: its result has a code other than 0. An error ends the
// import; the items whose results came before it are stored.
//
// Each adjust sees every message before it is sent, and may set its catalog, require_indexed or
// validate_only. There is no deadline but the context's. Nothing happens until the results are
// ranged over; ending the loop early ends the import.
func (c *Client) Import(
	ctx context.Context, items iter.Seq[*akinv1.Item], adjust ...func(*akinv1.ImportItemsRequest),
) iter.Seq2[*akinv1.ItemResult, error] {
	return func(yield func(*akinv1.ItemResult, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		stream, err := c.Recommender.ImportItems(ctx)
		if err != nil {
			yield(nil, err)
			return
		}
		// Holds a reply to every message under way, and the error that ends the stream.
		replies := make(chan importReply, importWindow+1)
		run := importRun{stream: stream, replies: replies, yield: yield}
		go run.receive()
		if run.sendAll(importMessages(items, adjust)) {
			run.finish()
		}
	}
}

// importRun is one import under way. Items are read and results yielded in the caller's goroutine,
// as iterators expect; only replies are received in another, since a server that cannot get rid of
// its replies stops reading, and a send would then wait forever.
type importRun struct {
	stream  grpc.BidiStreamingClient[akinv1.ImportItemsRequest, akinv1.ImportItemsResponse]
	replies chan importReply
	yield   func(*akinv1.ItemResult, error) bool
	waiting int
}

type importReply struct {
	response *akinv1.ImportItemsResponse
	err      error
}

// receive ends with the stream. It never waits for a reader, which may be gone: a full channel means
// that the server answers more than it was asked, and what came until then is all that counts.
func (r *importRun) receive() {
	defer close(r.replies)
	for {
		response, err := r.stream.Recv()
		if errors.Is(err, io.EOF) {
			return
		}
		select {
		case r.replies <- importReply{response, err}:
		default:
			return
		}
		if err != nil {
			return
		}
	}
}

// sendAll says whether the import goes on.
func (r *importRun) sendAll(messages iter.Seq[*akinv1.ImportItemsRequest]) bool {
	for message := range messages {
		if r.waiting == importWindow && !r.pass(<-r.replies) {
			return false
		}
		err := r.stream.Send(message)
		if errors.Is(err, io.EOF) {
			// The stream has ended, and why comes as the last reply.
			r.waiting++
			return true
		}
		if err != nil {
			r.yield(nil, err)
			return false
		}
		r.waiting++
		select {
		case reply := <-r.replies:
			if !r.pass(reply) {
				return false
			}
		default:
		}
	}
	return true
}

func (r *importRun) finish() {
	if err := r.stream.CloseSend(); err != nil {
		r.yield(nil, decode(err))
		return
	}
	for r.waiting > 0 {
		if !r.pass(<-r.replies) {
			return
		}
	}
	// The status of the call, which may be an error even after the last reply.
	if last, more := <-r.replies; more {
		r.pass(last)
	}
}

// pass yields a reply's results, and says whether the import goes on.
func (r *importRun) pass(reply importReply) bool {
	if reply.err == nil && reply.response == nil {
		// The zero value of a closed channel.
		reply.err = &Error{Code: codes.Internal, Message: "the server ended the import early"}
	}
	if reply.err != nil {
		r.yield(nil, reply.err)
		return false
	}
	r.waiting--
	for _, result := range reply.response.GetResults() {
		if !r.yield(result, nil) {
			return false
		}
	}
	return true
}

// importMessages are messages of up to importItems items and, but for a lone item, importBytes.
func importMessages(
	items iter.Seq[*akinv1.Item], adjust []func(*akinv1.ImportItemsRequest),
) iter.Seq[*akinv1.ImportItemsRequest] {
	return func(yield func(*akinv1.ImportItemsRequest) bool) {
		chunk, size := []*akinv1.Item(nil), 0
		flush := func() bool {
			message := &akinv1.ImportItemsRequest{Items: chunk}
			for _, each := range adjust {
				each(message)
			}
			chunk, size = nil, 0
			return yield(message)
		}
		for item := range items {
			length := proto.Size(item)
			if len(chunk) > 0 && size+length > importBytes && !flush() {
				return
			}
			chunk, size = append(chunk, item), size+length
			if len(chunk) == importItems && !flush() {
				return
			}
		}
		if len(chunk) > 0 {
			flush()
		}
	}
}
