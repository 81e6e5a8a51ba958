// Lists all users and groups with go-zendesk, https://github.com/nukosuke/go-zendesk, and prints
// {"users": [ids], "groups": [ids]}. Its SetEndpointURL takes the place of the subdomain.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"

	"github.com/nukosuke/go-zendesk/zendesk"
)

func main() {
	client, err := zendesk.NewClient(nil)
	must(err)
	must(client.SetEndpointURL(os.Getenv("ZENDESK_URL") + "/api/v2"))
	client.SetCredential(zendesk.NewAPITokenCredential(os.Getenv("ZENDESK_EMAIL"), os.Getenv("ZENDESK_TOKEN")))
	ctx, options := context.Background(), zendesk.NewPaginationOptions()
	users := walk(client.GetUsersIterator(ctx, options), func(user zendesk.User) int64 { return user.ID })
	groups := walk(client.GetGroupsIterator(ctx, options), func(group zendesk.Group) int64 { return group.ID })
	must(json.NewEncoder(os.Stdout).Encode(map[string][]int64{"users": users, "groups": groups}))
}

func walk[T any](pages *zendesk.Iterator[T], id func(T) int64) []int64 {
	ids := []int64{}
	for pages.HasMore() {
		rows, err := pages.GetNext()
		must(err)
		for _, row := range rows {
			ids = append(ids, id(row))
		}
	}
	return ids
}

func must(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
