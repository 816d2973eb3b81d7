// Quickstart stores three items and recommends similar ones for a text.
//
//	go run ./examples/quickstart -address 127.0.0.1:50051
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/types/known/structpb"

	akin "akin.dev/go"
	"akin.dev/go/akinv1"
	"akin.dev/go/filters"
)

func main() {
	address := flag.String("address", "127.0.0.1:50051", "host:port of the server")
	flag.Parse()
	// For a server with TLS, add akin.WithTLS(nil) or akin.WithTLSFiles.
	client, err := akin.Dial(*address, akin.WithAPIKey(os.Getenv("AKIN_API_KEY")))
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	if err := run(context.Background(), client); err != nil {
		log.Fatal(err)
	}
}

func run(ctx context.Context, client *akin.Client) error {
	items := []*akinv1.Item{
		item("shoe-1", "Lightweight trail running shoes with a grippy sole", 89),
		item("shoe-2", "Waterproof leather boots for winter hikes", 149),
		item("pan-1", "Cast iron skillet for searing steaks", 45),
	}
	for result, err := range client.Import(ctx, slices.Values(items)) {
		if err != nil {
			return err
		}
		if codes.Code(result.GetCode()) != codes.OK {
			fmt.Printf("%s: %s\n", result.GetItemId(), result.GetMessage())
		}
	}
	reply, err := client.Recommender.RecommendSimilar(ctx, &akinv1.RecommendSimilarRequest{
		Source: &akinv1.RecommendSimilarRequest_Text{Text: "jogging in the forest"},
		Filter: filters.All(filters.Between("price", filters.LT(100))),
		View:   akinv1.ItemView_ITEM_VIEW_FULL,
	})
	if err != nil {
		return err
	}
	for _, hit := range reply.GetRecommendations() {
		fmt.Printf("%.3f %s: %s\n", hit.GetScore(), hit.GetItemId(), hit.GetItem().GetText())
	}
	_, err = client.Recommender.GetItem(ctx, &akinv1.GetItemRequest{ItemId: "no such item"})
	var failed *akin.Error
	if errors.As(err, &failed) {
		fmt.Println("an item that does not exist:", failed.Code, failed.Reason)
	}
	return nil
}

func item(id, text string, price float64) *akinv1.Item {
	return &akinv1.Item{ItemId: id, Text: text, Attributes: &structpb.Struct{
		Fields: map[string]*structpb.Value{"price": structpb.NewNumberValue(price)},
	}}
}
