// Load on an etcd cluster, to compare with our own: puts or linearizable gets of one size by a number of clients that
// each wait for an answer before they ask again, or the longest time in which no write at all was acknowledged. Prints
// one line of JSON.
//
// Debian packages: golang-go, golang-etcd-server-dev. Build:
//
//	GO111MODULE=off GOPATH=/usr/share/gocode go build -o etcdload main.go
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"strings"
	"sync"
	"time"

	"go.etcd.io/etcd/clientv3"
)

const (
	keys           = 1000
	connectionsMax = 16
	// A write whose node died is tried again soon, so that the gap measures the cluster and not the client's patience.
	gapTimeout = 60 * time.Millisecond
	gapPause   = 5 * time.Millisecond
	// How often the answers that count as refused may follow each other before the run is given up.
	refusedMax = 100
)

type load struct {
	PerSecond float64 `json:"perSecond"`
	P50Ms     float64 `json:"p50Ms"`
	P99Ms     float64 `json:"p99Ms"`
	MaxMs     float64 `json:"maxMs"`
	Done      int     `json:"done"`
	Refused   int     `json:"refused"`
}

type gap struct {
	GapMs   float64 `json:"gapMs"`
	Done    int     `json:"done"`
	Refused int     `json:"refused"`
}

type operation func(ctx context.Context, client *clientv3.Client, key string) error

func main() {
	endpoints := flag.String("endpoints", "http://127.0.0.1:2379", "separated by commas")
	clients := flag.Int("clients", 1, "how many wait for an answer at any time")
	size := flag.Int("size", 256, "bytes of a value")
	duration := flag.Duration("duration", 5*time.Second, "how long")
	mode := flag.String("mode", "put", "put, get or gap")
	flag.Parse()

	addresses := strings.Split(*endpoints, ",")
	value := strings.Repeat("v", *size)
	put := func(ctx context.Context, client *clientv3.Client, key string) error {
		_, err := client.Put(ctx, key, value)
		return err
	}
	get := func(ctx context.Context, client *clientv3.Client, key string) error {
		answer, err := client.Get(ctx, key)
		if err == nil && len(answer.Kvs) != 1 {
			err = fmt.Errorf("key %q has no value", key)
		}
		return err
	}

	var result interface{}
	switch *mode {
	case "put":
		result = measure(connectAll(addresses, *clients), *clients, *duration, put)
	case "get":
		connections := connectAll(addresses, *clients)
		fill(connections[0], put)
		result = measure(connections, *clients, *duration, get)
	case "gap":
		result = longestGap(connectEach(addresses), *clients, *duration, put)
	default:
		fail(fmt.Errorf("mode %q is none of put, get, gap", *mode))
	}
	if err := json.NewEncoder(os.Stdout).Encode(result); err != nil {
		fail(err)
	}
}

func fail(err error) {
	fmt.Fprintln(os.Stderr, err)
	os.Exit(1)
}

func connect(addresses []string) *clientv3.Client {
	client, err := clientv3.New(clientv3.Config{Endpoints: addresses, DialTimeout: 3 * time.Second})
	if err != nil {
		fail(err)
	}
	return client
}

// Connections that each know all nodes, as many as the clients can use.
func connectAll(addresses []string, clients int) []*clientv3.Client {
	connections := make([]*clientv3.Client, min(clients, connectionsMax))
	for i := range connections {
		connections[i] = connect(addresses)
	}
	return connections
}

// One connection to each node, so that whichever dies, writes go on arriving at the others.
func connectEach(addresses []string) []*clientv3.Client {
	connections := make([]*clientv3.Client, len(addresses))
	for i, address := range addresses {
		connections[i] = connect([]string{address})
	}
	return connections
}

func keyOf(number int) string {
	return fmt.Sprintf("load/%06d", number)
}

// Gives every key a value.
func fill(client *clientv3.Client, put operation) {
	var group sync.WaitGroup
	for worker := 0; worker < 32; worker++ {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			for number := worker; number < keys; number += 32 {
				if err := put(context.Background(), client, keyOf(number)); err != nil {
					fail(err)
				}
			}
		}(worker)
	}
	group.Wait()
}

func measure(connections []*clientv3.Client, clients int, duration time.Duration, do operation) load {
	latencies := make([][]time.Duration, clients)
	refused := make([]int, clients)
	var group sync.WaitGroup
	begun := time.Now()
	end := begun.Add(duration)
	for worker := 0; worker < clients; worker++ {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			random := rand.New(rand.NewSource(int64(worker) + 1))
			for now := time.Now(); now.Before(end) && refused[worker] < refusedMax; {
				err := do(context.Background(), connections[worker%len(connections)], keyOf(random.Intn(keys)))
				after := time.Now()
				if err != nil {
					refused[worker]++
				} else {
					latencies[worker] = append(latencies[worker], after.Sub(now))
				}
				now = after
			}
		}(worker)
	}
	group.Wait()
	elapsed := time.Since(begun).Seconds()

	var all []time.Duration
	failures := 0
	for worker := range latencies {
		all = append(all, latencies[worker]...)
		failures += refused[worker]
	}
	if len(all) == 0 {
		fail(fmt.Errorf("none of %d operations was answered", failures))
	}
	sort.Slice(all, func(i, j int) bool { return all[i] < all[j] })
	quantile := func(part float64) float64 {
		return milliseconds(all[int(part*float64(len(all)-1))])
	}
	return load{float64(len(all)) / elapsed, quantile(0.5), quantile(0.99), quantile(1), len(all), failures}
}

func longestGap(connections []*clientv3.Client, clients int, duration time.Duration, put operation) gap {
	var lock sync.Mutex
	var group sync.WaitGroup
	var result gap
	last := time.Now()
	longest := time.Duration(0)
	end := last.Add(duration)
	note := func(err error) {
		lock.Lock()
		defer lock.Unlock()
		if err != nil {
			result.Refused++
			return
		}
		now := time.Now()
		if now.Sub(last) > longest {
			longest = now.Sub(last)
		}
		last = now
		result.Done++
	}
	for worker := 0; worker < clients; worker++ {
		group.Add(1)
		go func(worker int) {
			defer group.Done()
			for number := worker; time.Now().Before(end); number += clients {
				ctx, cancel := context.WithTimeout(context.Background(), gapTimeout)
				err := put(ctx, connections[worker%len(connections)], keyOf(number%keys))
				cancel()
				note(err)
				if err != nil {
					time.Sleep(gapPause)
				}
			}
		}(worker)
	}
	group.Wait()
	if since := time.Since(last); since > longest {
		longest = since
	}
	result.GapMs = milliseconds(longest)
	return result
}

func milliseconds(duration time.Duration) float64 {
	return float64(duration.Microseconds()) / 1000
}

func min(one, other int) int {
	if one < other {
		return one
	}
	return other
}
