// scripted is an NRI plugin on the official stub that does what a JSON file tells it to, and writes down
// every request that it gets, so that tests can ask for any adjustment and see what plugins see.
//
//	scripted -idx 10 -name adjuster -socket /tmp/nri.sock -script adjuster.json
//
// Where a launched plugin has no flags, its configuration text names the script.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"

	"github.com/containerd/nri/pkg/api"
	"github.com/containerd/nri/pkg/stub"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
)

// script is read again for each request, so a test may change it while the plugin is connected. Messages
// of the API stand in it as protobuf's JSON.
type script struct {
	// The file that requests are written to, one JSON object a line.
	Record string `json:"record"`
	// What the plugin subscribes to: "CreateContainer,StopPodSandbox"; empty is everything.
	Events string `json:"events"`
	// Only for the container of this name; empty is all of them.
	Container string `json:"container"`
	// A ContainerAdjustment, and ContainerUpdates for replies of the named requests.
	Adjust json.RawMessage              `json:"adjust"`
	Update map[string][]json.RawMessage `json:"update"`
	// Error text for each request that is to fail.
	Fail map[string]string `json:"fail"`
	// ContainerUpdates to send on its own, from inside the handler of the named request.
	Unsolicited map[string][]json.RawMessage `json:"unsolicited"`
}

type plugin struct {
	stub stub.Stub
	path string
	lock sync.Mutex
}

func (p *plugin) read() (*script, error) {
	text, err := os.ReadFile(p.path)
	if err != nil {
		return nil, err
	}
	s := &script{}
	return s, json.Unmarshal(text, s)
}

// network is the number of the pod's network namespace; 0 where there is none at its path.
func network(pod *api.PodSandbox) uint64 {
	for _, namespace := range pod.GetLinux().GetNamespaces() {
		info := syscall.Stat_t{}
		if namespace.Type == "network" && syscall.Stat(namespace.Path, &info) == nil {
			return info.Ino
		}
	}
	return 0
}

// record writes down the request and tells what is to be done about it.
func (p *plugin) record(request string, messages map[string]proto.Message, name string) (*script, error) {
	s, err := p.read()
	if err != nil {
		return nil, err
	}
	line := map[string]any{"request": request}
	for key, message := range messages {
		text, err := protojson.MarshalOptions{UseProtoNames: true}.Marshal(message)
		if err != nil {
			return nil, err
		}
		line[key] = json.RawMessage(text)
		if pod, ok := message.(*api.PodSandbox); ok {
			line["network"] = network(pod)
		}
	}
	text, err := json.Marshal(line)
	if err != nil {
		return nil, err
	}
	if s.Record != "" {
		p.lock.Lock()
		defer p.lock.Unlock()
		file, err := os.OpenFile(s.Record, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
		if err != nil {
			return nil, err
		}
		defer file.Close()
		if _, err := file.Write(append(text, '\n')); err != nil {
			return nil, err
		}
	}
	if s.Container != "" && s.Container != name {
		return &script{}, nil
	}
	if text, found := s.Fail[request]; found {
		return nil, errors.New(text)
	}
	return s, p.send(s.Unsolicited[request])
}

func updates(texts []json.RawMessage) ([]*api.ContainerUpdate, error) {
	var all []*api.ContainerUpdate
	for _, text := range texts {
		update := &api.ContainerUpdate{}
		if err := protojson.Unmarshal(text, update); err != nil {
			return nil, err
		}
		all = append(all, update)
	}
	return all, nil
}

// send makes a request of its own while the runtime waits for a reply.
func (p *plugin) send(texts []json.RawMessage) error {
	all, err := updates(texts)
	if err != nil || len(all) == 0 {
		return err
	}
	failed, err := p.stub.UpdateContainers(all)
	if err != nil {
		return fmt.Errorf("unsolicited update: %w (%d failed)", err, len(failed))
	}
	return nil
}

func (p *plugin) container(request string, pod *api.PodSandbox, container *api.Container) (*script, error) {
	return p.record(request, map[string]proto.Message{"pod": pod, "container": container}, container.GetName())
}

func (p *plugin) pod(request string, pod *api.PodSandbox) error {
	_, err := p.record(request, map[string]proto.Message{"pod": pod}, pod.GetName())
	return err
}

func (p *plugin) Configure(_ context.Context, config, runtime, version string) (api.EventMask, error) {
	if config = strings.TrimSpace(config); config != "" {
		p.path = config
	}
	s, err := p.read()
	if err != nil {
		return 0, err
	}
	fmt.Printf("configured by %s %s\n", runtime, version)
	if s.Events == "" {
		return 0, nil // whatever has a handler here
	}
	return api.ParseEventMask(s.Events)
}

func (p *plugin) Synchronize(_ context.Context, pods []*api.PodSandbox, containers []*api.Container) ([]*api.ContainerUpdate, error) {
	request := &api.SynchronizeRequest{Pods: pods, Containers: containers}
	s, err := p.record("Synchronize", map[string]proto.Message{"synchronize": request}, "")
	if err != nil {
		return nil, err
	}
	return updates(s.Update["Synchronize"])
}

func (p *plugin) RunPodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.pod("RunPodSandbox", pod)
}

func (p *plugin) StopPodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.pod("StopPodSandbox", pod)
}

func (p *plugin) RemovePodSandbox(_ context.Context, pod *api.PodSandbox) error {
	return p.pod("RemovePodSandbox", pod)
}

func (p *plugin) CreateContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) (*api.ContainerAdjustment, []*api.ContainerUpdate, error) {
	s, err := p.container("CreateContainer", pod, container)
	if err != nil {
		return nil, nil, err
	}
	others, err := updates(s.Update["CreateContainer"])
	if err != nil || len(s.Adjust) == 0 {
		return nil, others, err
	}
	adjust := &api.ContainerAdjustment{}
	if err := protojson.Unmarshal(s.Adjust, adjust); err != nil {
		return nil, nil, err
	}
	return adjust, others, nil
}

func (p *plugin) PostCreateContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	_, err := p.container("PostCreateContainer", pod, container)
	return err
}

func (p *plugin) StartContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	_, err := p.container("StartContainer", pod, container)
	return err
}

func (p *plugin) PostStartContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	_, err := p.container("PostStartContainer", pod, container)
	return err
}

func (p *plugin) UpdateContainer(_ context.Context, pod *api.PodSandbox, container *api.Container, resources *api.LinuxResources) ([]*api.ContainerUpdate, error) {
	messages := map[string]proto.Message{"pod": pod, "container": container, "resources": resources}
	s, err := p.record("UpdateContainer", messages, container.GetName())
	if err != nil {
		return nil, err
	}
	return updates(s.Update["UpdateContainer"])
}

func (p *plugin) PostUpdateContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	_, err := p.container("PostUpdateContainer", pod, container)
	return err
}

func (p *plugin) StopContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) ([]*api.ContainerUpdate, error) {
	s, err := p.container("StopContainer", pod, container)
	if err != nil {
		return nil, err
	}
	return updates(s.Update["StopContainer"])
}

func (p *plugin) RemoveContainer(_ context.Context, pod *api.PodSandbox, container *api.Container) error {
	_, err := p.container("RemoveContainer", pod, container)
	return err
}

func (p *plugin) ValidateContainerAdjustment(_ context.Context, request *api.ValidateContainerAdjustmentRequest) error {
	_, err := p.record("ValidateContainerAdjustment", map[string]proto.Message{"validate": request},
		request.GetContainer().GetName())
	return err
}

func main() {
	p := &plugin{}
	var index, name, socket string
	flag.StringVar(&index, "idx", "", "index, two digits")
	flag.StringVar(&name, "name", "", "name")
	flag.StringVar(&socket, "socket", "", "the runtime's socket")
	flag.StringVar(&p.path, "script", "", "what to do")
	flag.Parse()

	var options []stub.Option
	if index != "" {
		options = append(options, stub.WithPluginIdx(index))
	}
	if name != "" {
		options = append(options, stub.WithPluginName(name))
	}
	if socket != "" {
		options = append(options, stub.WithSocketPath(socket))
	}
	var err error
	if p.stub, err = stub.New(p, options...); err == nil {
		err = p.stub.Run(context.Background())
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "scripted:", err)
		os.Exit(1)
	}
}
