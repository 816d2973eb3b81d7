package akin

import (
	"context"
	"iter"

	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"akin.dev/go/akinv1"
)

// ImportInteractions records many interactions and yields the response to each message, in order. It
// works like Import. The positions of failures count from the first interaction of the import.
//
// An interaction without a time gets the present one.
func (c *Client) ImportInteractions(
	ctx context.Context, interactions iter.Seq[*akinv1.Interaction],
	adjust ...func(*akinv1.ImportInteractionsRequest),
) iter.Seq2[*akinv1.ImportInteractionsResponse, error] {
	request := func(batch []*akinv1.Interaction) *akinv1.ImportInteractionsRequest {
		return adjusted(&akinv1.ImportInteractionsRequest{Interactions: withTimes(batch)}, adjust)
	}
	open := c.Interactions.ImportInteractions
	return runImport(ctx, open, batches(interactions, request), completePositions)
}

// completePositions makes the positions of failures in a message positions in the import.
func completePositions(
	response *akinv1.ImportInteractionsResponse, position int,
) []*akinv1.ImportInteractionsResponse {
	for _, failure := range response.GetFailures() {
		failure.Position += int32(position)
	}
	return []*akinv1.ImportInteractionsResponse{response}
}

// setTimes sets the time of interactions to record that have none, so that a retry after an unknown
// outcome does not record them again.
func setTimes(
	ctx context.Context, method string, request, reply any, conn *grpc.ClientConn,
	invoke grpc.UnaryInvoker, opts ...grpc.CallOption,
) error {
	if record, ok := request.(*akinv1.RecordInteractionsRequest); ok {
		request = &akinv1.RecordInteractionsRequest{
			Catalog: record.GetCatalog(), Interactions: withTimes(record.GetInteractions()),
		}
	}
	return invoke(ctx, method, request, reply, conn, opts...)
}

// withTimes returns the interactions, with copies of those that have no time. The copies have the
// present one.
func withTimes(interactions []*akinv1.Interaction) []*akinv1.Interaction {
	timed := make([]*akinv1.Interaction, len(interactions))
	for position, interaction := range interactions {
		if interaction.GetTime() == nil {
			copied := &akinv1.Interaction{}
			proto.Merge(copied, interaction)
			copied.Time = timestamppb.Now()
			interaction = copied
		}
		timed[position] = interaction
	}
	return timed
}
