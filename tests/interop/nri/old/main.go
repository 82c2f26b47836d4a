// old is an NRI plugin on the stub of release 0.8, which knows most events as StateChange only. It writes
// down their names, one a line.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
)

type plugin struct {
	file *os.File
}

func (p *plugin) note(event, id string) error {
	_, err := fmt.Fprintln(p.file, event, id)
	return err
}

func (p *plugin) Synchronize(_ context.Context, pods []*api.PodSandbox, _ []*api.Container) ([]*api.ContainerUpdate, error) {
	return nil, p.note("Synchronize", fmt.Sprint(len(pods)))
}

func (p *plugin) RunPodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.note("RunPodSandbox", pod.Id)
}

func (p *plugin) StopPodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.note("StopPodSandbox", pod.Id)
}

func (p *plugin) RemovePodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.note("RemovePodSandbox", pod.Id)
}

func (p *plugin) CreateContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	adjust := &api.ContainerAdjustment{}
	adjust.AddEnv("OLD_PLUGIN", "was here")
	return adjust, nil, p.note("CreateContainer", c.Id)
}

func (p *plugin) PostCreateContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) error {
	return p.note("PostCreateContainer", c.Id)
}

func (p *plugin) StartContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) error {
	return p.note("StartContainer", c.Id)
}

func (p *plugin) PostStartContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) error {
	return p.note("PostStartContainer", c.Id)
}

func (p *plugin) StopContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) ([]*api.ContainerUpdate, error) {
	return nil, p.note("StopContainer", c.Id)
}

func (p *plugin) RemoveContainer(_ context.Context, _ *api.PodSandbox, c *api.Container) error {
	return p.note("RemoveContainer", c.Id)
}

func main() {
	socket := flag.String("socket", "", "where the runtime listens")
	record := flag.String("record", "", "the file to write to")
	flag.Parse()
	file, err := os.Create(*record)
	if err == nil {
		var s stub.Stub
		s, err = stub.New(&plugin{file}, stub.WithPluginName("old"), stub.WithPluginIdx("10"),
			stub.WithSocketPath(*socket))
		if err == nil {
			err = s.Run(context.Background())
		}
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
