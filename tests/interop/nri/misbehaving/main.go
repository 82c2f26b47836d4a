// misbehaving is an NRI plugin on the official stub that hangs, crashes, floods or does nothing.
//
//	misbehaving -idx 10 -name hangs -socket /tmp/nri.sock -in CreateContainer -do hang -container web
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
)

type plugin struct {
	stub      stub.Stub
	in        string
	do        string
	container string
}

// act does what the flags say when their event comes.
func (p *plugin) act(event, container string) error {
	if event != p.in || (p.container != "" && p.container != container) {
		return nil
	}
	switch p.do {
	case "hang":
		time.Sleep(time.Hour)
	case "crash":
		os.Exit(7)
	case "error":
		return errors.New("told to fail")
	case "flood":
		var all sync.WaitGroup
		for i := 0; i < 64; i++ {
			all.Add(1)
			go func() {
				defer all.Done()
				for j := 0; j < 50; j++ {
					update := &api.ContainerUpdate{ContainerId: fmt.Sprint("unknown-", j)}
					_, _ = p.stub.UpdateContainers([]*api.ContainerUpdate{update})
				}
			}()
		}
		all.Wait()
	}
	return nil
}

func (p *plugin) Synchronize(_ context.Context, _ []*api.PodSandbox, _ []*api.Container) ([]*api.ContainerUpdate, error) {
	return nil, p.act("Synchronize", "")
}

func (p *plugin) RunPodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.act("RunPodSandbox", pod.Name)
}

func (p *plugin) CreateContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	return nil, nil, p.act("CreateContainer", c.Name)
}

func (p *plugin) StartContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) error {
	return p.act("StartContainer", c.Name)
}

func (p *plugin) StopContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) ([]*api.ContainerUpdate, error) {
	return nil, p.act("StopContainer", c.Name)
}

func main() {
	p := &plugin{}
	index := flag.String("idx", "10", "index")
	name := flag.String("name", "misbehaving", "name")
	socket := flag.String("socket", "", "where the runtime listens")
	flag.StringVar(&p.in, "in", "", "the event")
	flag.StringVar(&p.do, "do", "nothing", "hang, crash, error, flood or nothing")
	flag.StringVar(&p.container, "container", "", "only for this container")
	flag.Parse()
	options := []stub.Option{stub.WithPluginName(*name), stub.WithPluginIdx(*index)}
	if *socket != "" {
		options = append(options, stub.WithSocketPath(*socket))
	}
	s, err := stub.New(p, options...)
	if err == nil {
		p.stub = s
		err = s.Run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
